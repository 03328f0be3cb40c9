/* Messages for a person or a service manager, on stderr, one line each. The level comes from
 * HEARTH_LOG (error, warn, info, debug; default warn). log_once prints a warning the first time
 * this process meets the given key. Any thread.
 */
#ifndef HEARTH_BASE_LOG_H
#define HEARTH_BASE_LOG_H

typedef enum { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG } log_level;

void log_set_level(log_level level);
void log_msg(log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void log_once(const char *key, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
