/* Sources and counters: what is counted and what is not, and what wraps, stalls, jumps back and
 * vanishes. The truth is a known power; whatever the meter says is known must agree with it to
 * 0.1 %, and the rest must have a reason. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/rng.h"
#include "meter/meter_test.h"
#include "support/cmocka_all.h"
#include "support/scratch.h"

#define ZONE "sys/class/powercap/intel-rapl:"

static double true_j; /* what has been used since the tree was made */

static void zone(const char *id, const char *name, unsigned long long uj, unsigned long long most) {
    char path[200];
    snprintf(path, sizeof path, "sys/class/powercap/%s/name", id);
    tree_write(path, "%s", name);
    snprintf(path, sizeof path, "sys/class/powercap/%s/energy_uj", id);
    tree_write(path, "%llu", uj);
    snprintf(path, sizeof path, "sys/class/powercap/%s/max_energy_range_uj", id);
    tree_write(path, "%llu", most);
}

static unsigned long long spun;
static void spin_zones(void) {
    static const char *const ids[] = {"intel-rapl:0", "intel-rapl:0:1", "intel-rapl:1",
                                      "intel-rapl-mmio:0", "intel-rapl:0:0"};
    spun += 1000000;
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        char path[200];
        snprintf(path, sizeof path, "sys/class/powercap/%s/energy_uj", ids[i]);
        tree_write(path, "%llu", spun);
    }
}

static void test_domains(void **state) {
    (void)state;
    tree_clear();
    zone("intel-rapl:0", "package-0", 1, 262143328850);
    zone("intel-rapl:0:0", "core", 1, 262143328850);
    zone("intel-rapl:0:1", "dram", 1, 65712999613);
    zone("intel-rapl:1", "psys", 1, 262143328850);
    zone("intel-rapl-mmio:0", "package-0", 1, 262143328850);
    test_spin = spin_zones;
    meter *m = test_meter_open(&(meter_options){.from = tree_from("")});
    assert_int_equal(meter_boundary_of(m), METER_PARTS);
    assert_true(test_source(m, "rapl-powercap", "package-0 dram").counted);
    assert_false(test_source(m, "rapl-powercap", "psys").counted);
    assert_false(test_source(m, "rapl-powercap", "package-0 core").counted);
    int n = 0;
    for (size_t i = 0; i < meter_n_sources(m); i++) {
        meter_source s;
        meter_source_get(m, i, &s);
        n += s.counted;
        if (!s.counted) assert_true(s.why_not[0]);
    }
    assert_int_equal(n, 2); /* the twin by MMIO is not the third */
    assert_string_equal(test_status(m).instrument, "rapl-powercap package-0, package-0 dram");
    /* a second later: 7 J and 2 J; core's 5 and psys's 20 are within or around */
    meter_read(m);
    unsigned long long at = spun;
    test_now_ns += 1000000000;
    zone("intel-rapl:0", "package-0", at + 7000000, 262143328850);
    zone("intel-rapl:0:0", "core", at + 5000000, 262143328850);
    zone("intel-rapl:0:1", "dram", at + 2000000, 65712999613);
    zone("intel-rapl:1", "psys", at + 20000000, 262143328850);
    zone("intel-rapl-mmio:0", "package-0", at + 7000000, 262143328850);
    meter_read(m);
    assert_true(fabs(test_status(m).joules - 9) < 1e-9);
    assert_true(fabs(test_source(m, "rapl-powercap", "psys").joules - 20) < 1e-9);
    meter_close(m);
}

static int denied(void *ud) {
    (void)ud;
    meter *m = test_meter_open(&(meter_options){.from = tree_from("")});
    meter_source s = test_source(m, "rapl-powercap", "package-0");
    bool ok = !s.counted && strstr(s.why_not, "hearth-meterd") &&
              meter_boundary_of(m) == METER_NONE && test_status(m).why_none[0];
    meter_close(m);
    return ok ? 0 : 1;
}

static void test_denied(void **state) {
    (void)state;
    char path[600];
    tree_clear();
    zone("intel-rapl:0", "package-0", 1, 262143328850);
    snprintf(path, sizeof path, "%s/" ZONE "0/energy_uj", tree_root());
    assert_int_equal(chmod(path, 0400), 0);
    assert_int_equal(chmod(scratch_dir(), 0755), 0);
    assert_int_equal(scratch_as_nobody(denied, NULL), 0);
}

/* As in some virtual machines: the folder of the power events is there, and empty. */
static void test_virtual_machine(void **state) {
    (void)state;
    tree_clear();
    tree_write("sys/bus/event_source/devices/power/type", "9");
    tree_write("sys/bus/event_source/devices/power/cpumask", "0");
    tree_write("sys/bus/event_source/devices/power/events/.keep", " ");
    meter *m = test_meter_open(&(meter_options){.from = tree_from("perf=on")});
    assert_int_equal(meter_boundary_of(m), METER_NONE);
    assert_non_null(strstr(test_source(m, "rapl-perf", "power events").why_not, "no event"));
    meter_close(m);
    tree_clear();
    tree_write("proc/cpuinfo", "processor : 0\nflags : fpu hypervisor avx2");
    m = test_meter_open(&(meter_options){.from = tree_from("")});
    assert_string_equal(test_status(m).why_none, "virtual machine, no energy counter");
    meter_read(m);
    assert_int_equal(meter_n_sources(m), 0);
    assert_true(isnan(test_status(m).watts));
    meter_close(m);
}

static void test_dead_counter(void **state) {
    (void)state;
    tree_clear();
    zone("intel-rapl:0", "package-0", 5000, 262143328850);
    test_spin = NULL;
    meter *m = test_meter_open(&(meter_options){.from = tree_from("")});
    assert_int_equal(meter_boundary_of(m), METER_NONE);
    assert_non_null(strstr(test_source(m, "rapl-powercap", "package-0").why_not, "did not move"));
    meter_close(m);
}

/* ---- the truth against the meter ---- */

typedef enum fault { NO_FAULT, STALL, STALL_AND_CATCH_UP, JUMP_BACK, JUMP_ON, VANISH } fault;

typedef struct instrument {
    const char *kind;
    double unit_j;
    uint64_t range;
    void (*show)(uint64_t count, double watts, bool gone);
} instrument;

static void show_powercap(uint64_t count, double watts, bool gone) {
    (void)watts;
    if (gone) tree_remove(ZONE "0/energy_uj");
    else tree_write(ZONE "0/energy_uj", "%llu", (unsigned long long)count);
}

static void show_nvml(uint64_t count, double watts, bool gone) {
    if (gone) tree_remove("nvml");
    else tree_write("nvml", "%llu %.0f 0 0", (unsigned long long)count, watts * 1e3);
}

static void show_hwmon(uint64_t count, double watts, bool gone) {
    (void)watts;
    if (gone) tree_remove("sys/class/drm/card0/device/hwmon/hwmon3/energy1_input");
    else
        tree_write("sys/class/drm/card0/device/hwmon/hwmon3/energy1_input", "%llu",
                   (unsigned long long)count);
}

/* The smallest range that is known of real counters wraps within minutes. */
static const instrument instruments[] = {
    {"rapl-powercap", 1e-6, 65712999613 / 8, show_powercap},
    {"nvml", 1e-3, 0, show_nvml},
    {"intel-gpu", 1e-6, 0, show_hwmon},
};

static const instrument *shown;
static uint64_t count_of(double joules) {
    uint64_t count = (uint64_t)(joules / shown->unit_j);
    return shown->range ? count % shown->range : count;
}

static void spin_shown(void) {
    true_j += 30;
    shown->show(count_of(true_j), 150, false);
}

static meter *shown_open(const instrument *i) {
    char from[600];
    tree_clear();
    shown = i;
    test_spin = spin_shown;
    true_j = 1000;
    zone("intel-rapl:0", "package-0", 1, (unsigned long long)i->range - 1);
    if (i->show != show_powercap) tree_remove(ZONE "0/name");
    if (i->show == show_hwmon) tree_write("sys/class/drm/card0/device/hwmon/hwmon3/name", "i915");
    i->show(count_of(true_j), 150, false);
    snprintf(from, sizeof from, "%s/nvml", tree_root());
    setenv("HEARTH_FAKE_NVML", from, 1);
    snprintf(from, sizeof from, "nvml=%s", i->show == show_nvml ? test_library("fake_nvml") : "");
    meter *m = test_meter_open(&(meter_options){.from = tree_from(from)});
    assert_int_equal(meter_boundary_of(m), METER_PARTS);
    return m;
}

typedef struct seen {
    double known_j, true_known_j; /* over the windows that are known */
    double window_j;              /* used since the last window */
    int n_lost;
} seen;

static void on_window(void *ud, const meter_window *w) {
    seen *s = ud;
    if (isnan(w->joules)) {
        assert_non_null(w->why);
        s->n_lost++;
    } else {
        assert_null(w->why);
        s->known_j += w->joules;
        s->true_known_j += s->window_j;
    }
    s->window_j = 0;
}

/* 200 seconds of 5 to 400 W, and one fault in the middle, if any. */
static void run_truth(const instrument *i, fault f, uint64_t seed) {
    meter *m = shown_open(i);
    seen s = {0};
    meter_listen(m, on_window, NULL, &s);
    meter_read(m);
    double watts = 100, held_j = 0, offset_j = 0;
    for (int t = 0; t < 200; t++) {
        uint64_t dt = 500000000 + rng_u64(seed, 0, (uint64_t)t) % 1000000000;
        if (rng_u64(seed, 0, 10000 + (uint64_t)t) % 8 == 0)
            watts = 5 + (double)(rng_u64(seed, 0, 20000 + (uint64_t)t) % 395);
        double used = watts * (double)dt * 1e-9;
        true_j += used;
        s.window_j += used;
        test_now_ns += dt;
        bool now = t >= 100 && t < 107;
        if (t == 100) held_j = true_j;
        if (f == STALL && now) offset_j = held_j - true_j;
        if (f == JUMP_BACK && t == 100) offset_j = -500;
        if (f == JUMP_ON && t == 100) offset_j = 5e6;
        double told = f == STALL_AND_CATCH_UP && now ? held_j : true_j + offset_j;
        i->show(count_of(told), watts, f == VANISH && now);
        meter_read(m);
    }
    meter_status st = test_status(m);
    if (fabs(s.known_j - s.true_known_j) > 1e-3 * s.true_known_j)
        fail_msg("%s, fault %d: %g J told for %g J", i->kind, f, s.known_j, s.true_known_j);
    assert_true(s.true_known_j > 0.8 * (true_j - 1030));
    assert_true((f == NO_FAULT) == (s.n_lost == 0));
    assert_true((f == NO_FAULT) == (st.lost_s == 0));
    assert_true((f == NO_FAULT) == !st.why_lost[0]);
    meter_close(m);
}

static void test_truth(void **state) {
    (void)state;
    const char *size = getenv("HEARTH_TEST_SIZE");
    uint64_t n_seeds = size && strcmp(size, "nightly") == 0 ? 50 : 2;
    for (size_t i = 0; i < sizeof instruments / sizeof *instruments; i++)
        for (int f = NO_FAULT; f <= VANISH; f++)
            for (uint64_t seed = 1; seed <= n_seeds; seed++)
                run_truth(&instruments[i], (fault)f, seed);
}

/* A machine that slept, or a process that was stopped: the counter may have gone round. */
static void test_long_gap(void **state) {
    (void)state;
    meter *m = shown_open(&instruments[0]);
    meter_read(m);
    test_now_ns += 3600000000000;
    true_j += 10;
    shown->show(count_of(true_j), 0, false);
    meter_read(m);
    assert_non_null(strstr(test_status(m).why_lost, "gap"));
    test_now_ns += 1000000000;
    true_j += 10;
    shown->show(count_of(true_j), 0, false);
    meter_read(m);
    meter_status st = test_status(m);
    assert_true(fabs(st.joules - 10) < 1e-5 && fabs(st.lost_s - 3600) < 1e-6);
    meter_close(m);
}

/* ---- cards ---- */

static void test_cards(void **state) {
    (void)state;
    char path[600], from[700];
    tree_clear();
    test_spin = NULL;
    tree_write("nvml", "1000 90000 1 0\n-1 80000 0 0\n-1 -1 0 0\n500 1000 0 2");
    snprintf(path, sizeof path, "%s/nvml", tree_root());
    setenv("HEARTH_FAKE_NVML", path, 1);
    snprintf(from, sizeof from, "nvml=%s", test_library("fake_nvml"));
    meter *m = test_meter_open(&(meter_options){.from = tree_from(from)});
    assert_non_null(strstr(test_source(m, "nvml", "GPU 0 Fake 9000").why_not, "MIG"));
    assert_non_null(strstr(test_source(m, "nvml", "GPU 2 Fake 9000").why_not, "neither"));
    assert_non_null(strstr(test_source(m, "nvml", "GPU 3 Fake 9000").why_not, "vGPU"));
    assert_true(test_source(m, "nvml", "GPU 1 Fake 9000").counted); /* an old one: by its power */
    meter_read(m);
    for (int i = 0; i < 10; i++) {
        test_now_ns += 1000000000;
        meter_read(m);
    }
    assert_true(fabs(test_status(m).joules - 800) < 1e-6);
    meter_close(m);
    setenv("HEARTH_FAKE_NVML", "/nonexistent", 1); /* the library without its driver */
    m = test_meter_open(&(meter_options){.from = tree_from(from)});
    assert_non_null(strstr(test_source(m, "nvml", "NVML").why_not, "Driver Not Loaded"));
    meter_close(m);
}

#define AMD "sys/class/drm/card1/device/hwmon/hwmon0/"
static double smi_watts;
static void spin_smi(void) {
    test_now_ns += 300000000; /* half a second with the 200 ms */
    tree_write("amdsmi", "%.0f 15.3", 1000 + smi_watts * 0.5 / 15.3e-6);
}

/* AMD's counter is believed only where the kernel's power says the same. */
static void test_amd(void **state) {
    (void)state;
    char path[600], from[700];
    snprintf(path, sizeof path, "%s/amdsmi", tree_root());
    setenv("HEARTH_FAKE_AMDSMI", path, 1);
    snprintf(from, sizeof from, "amdsmi=%s", test_library("fake_amdsmi"));
    for (int good = 0; good < 2; good++) {
        tree_clear();
        tree_write(AMD "name", "amdgpu");
        tree_write(AMD "power1_average", "100000000");
        tree_write("amdsmi", "1000 15.3");
        test_spin = spin_smi;
        smi_watts = good ? 103 : 30;
        meter *m = test_meter_open(&(meter_options){.from = tree_from(from)});
        meter_source smi = test_source(m, "amd-smi", "GPU 0");
        meter_source gpu = test_source(m, "amd-gpu", "card1 (amdgpu)");
        assert_int_equal(smi.counted, good);
        assert_int_equal(gpu.counted, !good);
        if (!good) assert_non_null(strstr(smi.why_not, "30 W where the kernel says 100 W"));
        meter_close(m);
    }
    tree_clear();
    tree_write("amdsmi", "1000 15.3"); /* nothing to compare it with */
    meter *m = test_meter_open(&(meter_options){.from = tree_from(from)});
    assert_int_equal(meter_boundary_of(m), METER_NONE);
    meter_close(m);
}

static void test_battery(void **state) {
    (void)state;
    tree_clear();
    test_spin = spin_zones;
    tree_write("sys/class/power_supply/BAT0/type", "Battery");
    tree_write("sys/class/power_supply/BAT0/status", "Discharging");
    tree_write("sys/class/power_supply/BAT0/voltage_now", "12000000");
    tree_write("sys/class/power_supply/BAT0/current_now", "1500000");
    tree_write("sys/class/power_supply/AC/type", "Mains");
    tree_write("sys/class/power_supply/hidpp_battery_0/type", "Battery");
    tree_write("sys/class/power_supply/hidpp_battery_0/scope", "Device");
    meter *m = test_meter_open(&(meter_options){.from = tree_from("")});
    assert_int_equal(meter_n_sources(m), 1);
    assert_int_equal(meter_boundary_of(m), METER_DC);
    meter_read(m);
    for (int i = 0; i < 5; i++) {
        test_now_ns += 2000000000;
        meter_read(m);
    }
    assert_true(fabs(test_status(m).joules - 180) < 1e-6);
    tree_write("sys/class/power_supply/BAT0/status", "Charging");
    test_now_ns += 2000000000;
    meter_read(m);
    assert_non_null(strstr(test_status(m).why_lost, "not the supply"));
    meter_close(m);
    zone("intel-rapl:0", "package-0", 1, 262143328850); /* then the battery is not what counts */
    tree_write("sys/class/power_supply/BAT0/status", "Discharging");
    m = test_meter_open(&(meter_options){.from = tree_from("")});
    assert_int_equal(meter_boundary_of(m), METER_PARTS);
    meter_close(m);
    m = test_meter_open(&(meter_options){.from = tree_from(""), .boundary = METER_DC});
    assert_int_equal(meter_boundary_of(m), METER_DC);
    meter_close(m);
}

/* ---- what a person says ---- */

static double half_busy(void *ud, uint64_t begin_ns, uint64_t end_ns) {
    (void)ud;
    return (double)(end_ns - begin_ns) * 0.5e-9;
}

static void test_declared(void **state) {
    (void)state;
    tree_clear();
    meter *m = test_meter_open(
        &(meter_options){.from = tree_from(""), .watts = "idle=10,load=110"});
    assert_int_equal(meter_boundary_of(m), METER_DECLARED);
    meter_listen(m, NULL, half_busy, NULL);
    meter_read(m);
    for (int i = 0; i < 10; i++) {
        test_now_ns += 1000000000;
        meter_read(m);
    }
    assert_true(fabs(test_status(m).joules - (100 + 500)) < 1e-5);
    meter_close(m);
    static const char *const wrong[] = {"",
                                        "idle=1",
                                        "9,250",
                                        "idle=9,load=x",
                                        "load=1,idle=2",
                                        "idle=-1,load=5",
                                        "idle=1,max=2",
                                        "idle=1,load=nan"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        err e = {0};
        assert_null(meter_open(&(meter_options){.from = tree_from(""), .watts = wrong[i]}, &e));
        assert_int_equal(e.code, ERR_USAGE);
    }
}

static void test_hypervisor(void **state) {
    (void)state;
    char path[600];
    err e = {0};
    tree_clear();
    tree_write("guest/intel-rapl:0/energy_uj", "1000000");
    tree_write("guest/intel-rapl:0:0/energy_uj", "500000");
    tree_write("guest/intel-rapl:1/energy_uj", "2000000");
    snprintf(path, sizeof path, "%s/guest", tree_root());
    meter *m = test_meter_open(&(meter_options){.from = tree_from(""), .hypervisor = path});
    assert_int_equal(meter_n_sources(m), 2);
    meter_read(m);
    test_now_ns += 20000000000;
    tree_write("guest/intel-rapl:0/energy_uj", "101000000");
    tree_write("guest/intel-rapl:1/energy_uj", "52000000");
    meter_read(m);
    assert_true(fabs(test_status(m).joules - 150) < 1e-9);
    meter_close(m);
    snprintf(path, sizeof path, "%s/guest/intel-rapl:0/energy_uj", tree_root());
    m = test_meter_open(&(meter_options){.from = tree_from(""), .hypervisor = path});
    assert_int_equal(meter_n_sources(m), 1);
    meter_close(m);
    assert_null(meter_open(&(meter_options){.from = tree_from(""), .hypervisor = "/none"}, &e));
    assert_int_equal(e.code, ERR_NOT_FOUND);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_domains),         cmocka_unit_test(test_denied),
        cmocka_unit_test(test_virtual_machine), cmocka_unit_test(test_dead_counter),
        cmocka_unit_test(test_truth),           cmocka_unit_test(test_long_gap),
        cmocka_unit_test(test_cards),           cmocka_unit_test(test_amd),
        cmocka_unit_test(test_battery),         cmocka_unit_test(test_declared),
        cmocka_unit_test(test_hypervisor),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
