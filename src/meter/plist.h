/* The one figure wanted of powermetrics' property lists. Any thread. */
#ifndef HEARTH_METER_PLIST_H
#define HEARTH_METER_PLIST_H

#include "base/str.h"

/* "combined_power" of "processor", told in milliwatts, as watts. False: not there, or no number. */
bool plist_combined_watts(str text, double *watts);

#endif
