/* The options by which commands are told what measures this machine's energy. */
#ifndef HEARTH_CLI_METERING_H
#define HEARTH_CLI_METERING_H

#include "cli/cli.h"
#include "meter/energy.h"

extern const cli_option metering_options[]; /* for a command's more_options */
/* False: a word that means no boundary. *off: --meter off. Strings live as long as `a`. */
bool metering_read(const cli_args *a, meter_options *o, bool *off, err *e);
/* "12.3 W", "0.45 kWh", "1.2 MJ" ... for people; dst has room for 32 bytes. Returns dst. */
char *human_joules(double joules, char *dst);

#endif
