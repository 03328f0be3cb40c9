/* How many CPUs this process may really use: what the scheduler's affinity mask allows, capped by
 * the quota of its control groups (a container with --cpus=2 on a large machine sees all cores and
 * gets two). Any thread.
 */
#ifndef HEARTH_BASE_CPUS_H
#define HEARTH_BASE_CPUS_H

/* At least 1. The quota is rounded up. */
int cpus_usable(void);
/* CPUs in the affinity mask of this process, at least 1. */
int cpus_affinity(void);
/* The smallest quota on the way from this process's group to the root, in CPUs, both for version 2
 * (cpu.max) and version 1 (cpu.cfs_quota_us); 0 when there is none. The arguments are
 * /proc/self/cgroup and /sys/fs/cgroup; tests give others. */
double cpus_quota(const char *membership_file, const char *mount_folder);

#endif
