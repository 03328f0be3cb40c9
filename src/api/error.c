/* Errors of the server, and what status an error of the rooms below has. */
#include "api/error.h"

#include <stdarg.h>
#include <stdio.h>

bool api_fail(api_error *e, int status, const char *code, const char *param, const char *fmt, ...) {
    *e = (api_error){.status = status, .code = code};
    if (param) snprintf(e->param, sizeof e->param, "%s", param);
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(e->msg, sizeof e->msg, fmt, ap);
    va_end(ap);
    return false;
}

bool api_no_memory(api_error *e) {
    return api_fail(e, 503, "out_of_memory", NULL, "out of memory");
}

bool api_fail_err(api_error *e, const err *from) {
    static const struct {
        err_code from;
        int status;
        const char *code;
    } table[] = {
        {ERR_USAGE, 400, "invalid_value"},      {ERR_NOT_FOUND, 404, "not_found"},
        {ERR_DENIED, 403, "permission_denied"}, {ERR_NO_FIT, 503, "out_of_memory"},
        {ERR_BUSY, 503, "server_busy"},         {ERR_INTERRUPTED, 503, "cancelled"},
    };
    int status = 500;
    const char *code = "server_error";
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (table[i].from == from->code) {
            status = table[i].status;
            code = table[i].code;
        }
    api_fail(e, status, code, NULL, "%s", from->msg);
    if (status == 503) e->retry_after_s = 2;
    return false;
}

bool api_fail_hearth(api_error *e, const hearth_err *from) {
    err inner = {.code = (err_code)from->code};
    snprintf(inner.msg, sizeof inner.msg, "%s", from->msg);
    return api_fail_err(e, &inner);
}

const char *api_error_type(int status) {
    switch (status) {
    case 401: return "authentication_error";
    case 403: return "permission_error";
    case 404: return "not_found_error";
    case 429: return "rate_limit_error";
    case 503: return "unavailable_error";
    default: return status >= 500 ? "server_error" : "invalid_request_error";
    }
}
