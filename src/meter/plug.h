/* Smart plugs: what a person says of one, and what its answers mean. No network here, so that
 * every byte of an answer can be tested. Any thread.
 *
 * A setting is an address, whose kind is found out, or KIND=ADDRESS, and may go on with details:
 *
 *     http://192.168.1.40                shelly2=http://192.168.1.40     tasmota=http://plug.lan
 *     json=http://192.168.1.9/state,watts=meters.0.power,energy=meters.0.total,unit=Wh
 *     shelly1=http://192.168.1.41,share=0.5       half of what it measures is this machine
 *     shelly1=http://192.168.1.41,timeout=3       it may take so many seconds to answer: 0.9 else
 *
 * An address with a path is asked as it stands; else the kind's own path is put behind it.
 */
#ifndef HEARTH_METER_PLUG_H
#define HEARTH_METER_PLUG_H

#include "base/err.h"
#include "base/str.h"

typedef enum plug_kind {
    PLUG_ANY, /* to be found out */
    PLUG_SHELLY2,
    PLUG_SHELLY_PM, /* generation 2 and later, without a switch */
    PLUG_SHELLY1,
    PLUG_TASMOTA,
    PLUG_TASMOTA10, /* newer builds */
    PLUG_JSON,
    PLUG_KINDS
} plug_kind;

typedef struct plug_setting {
    plug_kind kind;
    char address[400];
    char watts[100], energy[100]; /* paths into the JSON: names and indices, with points between */
    double unit_j;                /* joules a unit of energy */
    double share;                 /* of what the plug measures */
    double timeout_s;             /* how long an answer may take */
} plug_setting;

bool plug_setting_read(const char *text, plug_setting *out, err *e);
const char *plug_kind_name(plug_kind k);
double plug_step_j(const plug_setting *s); /* of its counter; of PLUG_ANY the coarsest */
/* Where a plug of this kind is asked; dst has room for 500 bytes. */
void plug_url(const plug_setting *s, plug_kind k, char *dst);

typedef struct plug_reading {
    bool has_watts, has_joules;
    double watts, joules; /* of the share */
} plug_reading;

/* False, with a static reason: the body is no answer of this kind. */
bool plug_reading_read(const plug_setting *s, plug_kind k, str body, plug_reading *out,
                       const char **why);

#endif
