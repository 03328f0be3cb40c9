#include "cli/metering.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

const cli_option metering_options[] = {
    {"meter", 0, CLI_CHOICE, "auto|wall|dc|parts|soc-model|declared|off",
     "what is to be measured of the energy; default auto: the widest there is", 0, 0},
    {"plug", 0, CLI_LIST, "ADDRESS",
     "a smart plug that this machine hangs on, like http://192.168.1.40; more: docs/energy.md", 0,
     0},
    {"watts", 0, CLI_TEXT, "idle=W,load=W",
     "watts that you know this machine to use; always shown as declared, never as measured", 0, 0},
    {"hypervisor", 0, CLI_FILE, "PATH",
     "file of microjoules, or folder like powercap's, that the host lets this guest read", 0, 0},
    {"meter-from", 0, CLI_TEXT, "LIST",
     "where to look, like root=DIR,nvml=FILE,meterd=SOCKET; for tests and odd places", 0, 0},
    {0},
};

bool metering_read(const cli_args *a, meter_options *o, bool *off, err *e) {
    const char *asked = cli_text(a, "meter", "auto");
    *o = (meter_options){.watts = cli_text(a, "watts", NULL),
                         .plugs = cli_get(a, "plug")->list,
                         .hypervisor = cli_text(a, "hypervisor", NULL),
                         .from = cli_text(a, "meter-from", NULL)};
    *off = strcmp(asked, "off") == 0;
    for (int b = METER_DECLARED; b <= METER_WALL; b++)
        if (strcmp(asked, meter_boundary_name((meter_boundary)b)) == 0)
            o->boundary = (meter_boundary)b;
    if (o->boundary == METER_DECLARED && !o->watts)
        return err_set(e, ERR_USAGE, "--meter declared needs --watts idle=W,load=W");
    return true;
}

char *human_joules(double joules, char *dst) {
    static const struct {
        double unit;
        const char *name;
    } units[] = {{3.6e6, "kWh"}, {3.6e3, "Wh"}, {1, "J"}, {1e-3, "mJ"}, {0, "J"}};
    int i = 0;
    while (units[i].unit > 0 && fabs(joules) < units[i].unit) i++;
    double x = units[i].unit > 0 ? joules / units[i].unit : 0;
    snprintf(dst, 32, "%.*f %s", x < 10 ? 2 : x < 100 ? 1 : 0, x, units[i].name);
    return dst;
}
