#include "base/data.h"

extern const data_file hearth_data[]; /* sorted by name; ends with a name of NULL: CMakeLists.txt */

static const data_file *from(const data_file *f, str folder) {
    for (; f->name; f++)
        if (str_starts(str_of(f->name), folder)) return f;
    return NULL;
}

const data_file *data_first(const char *folder) {
    return from(hearth_data, str_of(folder));
}

const data_file *data_next(const data_file *f, const char *folder) {
    return from(f + 1, str_of(folder));
}

const data_file *data_find(const char *name) {
    const data_file *f = hearth_data;
    while (f->name && strcmp(f->name, name) != 0) f++;
    return f->name ? f : NULL;
}

str data_text(const data_file *f) {
    return (str){f->begin, (size_t)(f->end - f->begin)};
}
