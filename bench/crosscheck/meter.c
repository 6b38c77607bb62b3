/* What was used: CPU clocks of the server's processes and of this one, and how busy cores were. Linux only. */
#define _GNU_SOURCE
#include "crosscheck.h"

#include <dirent.h>
#include <sched.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

int64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * SECOND + time.tv_nsec;
}

static int64_t cpu_of(clockid_t clock)
{
    struct timespec time;
    if (clock_gettime(clock, &time))
        return -1;
    return time.tv_sec * SECOND + time.tv_nsec;
}

static bool has(const struct tree *tree, pid_t pid)
{
    for (int index = 0; index < tree->count; index++)
        if (tree->pids[index] == pid)
            return true;
    return false;
}

/* The children that one thread started. */
static void add_children(struct tree *tree, pid_t pid, const char *thread)
{
    char path[300];
    int child;
    snprintf(path, sizeof path, "/proc/%d/task/%s/children", pid, thread);
    FILE *file = fopen(path, "r");
    while (file && fscanf(file, "%d", &child) == 1) {
        if (tree->count == MOST_PROCESSES)
            give_up("the server has more than %d processes: start it with fewer", MOST_PROCESSES);
        tree->pids[tree->count++] = child;
    }
    if (file)
        fclose(file);
}

/* `root` and all its descendants; the list is its own queue. */
static struct tree tree_of(pid_t root)
{
    struct tree tree = {.pids = {root}, .count = 1};
    for (int index = 0; index < tree.count; index++) {
        char path[64];
        snprintf(path, sizeof path, "/proc/%d/task", tree.pids[index]);
        DIR *threads = opendir(path);
        for (struct dirent *entry = threads ? readdir(threads) : NULL; entry; entry = readdir(threads))
            if (entry->d_name[0] != '.')
                add_children(&tree, tree.pids[index], entry->d_name);
        if (threads)
            closedir(threads);
    }
    return tree;
}

static int64_t cpu_of_tree(const struct tree *tree)
{
    int64_t sum = 0;
    for (int index = 0; index < tree->count; index++) {
        clockid_t clock;
        int64_t cpu = clock_getcpuclockid(tree->pids[index], &clock) ? -1 : cpu_of(clock);
        if (cpu < 0)
            give_up("process %d of the server is not there: give the pid of a server that stays", tree->pids[index]);
        sum += cpu;
    }
    return sum;
}

/* Ticks of user, nice, system, idle, iowait, irq, softirq and steal since boot. */
static struct core_time core_time(int core)
{
    char line[256], name[16];
    long long user, nice, system, idle, waiting, irq, softirq, steal;
    struct core_time found = {0};
    FILE *file = fopen("/proc/stat", "r");
    while (file && fgets(line, sizeof line, file)) {
        int number;
        if (sscanf(line, "cpu%d", &number) != 1 || number != core ||
            sscanf(line, "%15s %lld %lld %lld %lld %lld %lld %lld %lld", name, &user, &nice, &system, &idle, &waiting,
                   &irq, &softirq, &steal) != 9)
            continue;
        int64_t tick = SECOND / sysconf(_SC_CLK_TCK);
        found.charged = (user + nice + system + steal) * tick;
        found.busy = found.charged + (irq + softirq) * tick;
        found.total = found.busy + (idle + waiting) * tick;
    }
    if (file)
        fclose(file);
    return found;
}

/* The one core that a process is pinned to; -1 when it may use several. */
static int core_of(pid_t pid)
{
    cpu_set_t cores;
    CPU_ZERO(&cores);
    if (sched_getaffinity(pid, sizeof cores, &cores) || CPU_COUNT(&cores) != 1)
        return -1;
    int core = 0;
    while (!CPU_ISSET((size_t)core, &cores))
        core++;
    return core;
}

struct reading meter_read(pid_t server, int own_core)
{
    struct reading reading = {.wall = now(), .own_cpu = cpu_of(CLOCK_PROCESS_CPUTIME_ID), .tree = tree_of(server)};
    reading.server_cpu = cpu_of_tree(&reading.tree);
    reading.own_core = core_time(own_core);
    reading.server_core = core_time(core_of(server));
    return reading;
}

/* A process that ended took its CPU time along: what is left would be too little. */
static void check_all_are_there(const struct tree *before, const struct tree *after)
{
    for (int index = 0; index < before->count; index++)
        if (!has(after, before->pids[index]))
            give_up("process %d of the server ended meanwhile: find out why and run again", before->pids[index]);
}

static double share(int64_t part, int64_t whole)
{
    return whole > 0 && part > 0 ? (double)part / (double)whole : 0;
}

struct usage meter_between(const struct reading *first, const struct reading *last)
{
    check_all_are_there(&first->tree, &last->tree);
    int64_t server = last->server_cpu - first->server_cpu;
    int64_t total = last->server_core.total - first->server_core.total;
    int64_t charged = last->server_core.charged - first->server_core.charged;
    return (struct usage){
        .server_us = (double)server / 1000,
        .client_share = share(last->own_cpu - first->own_cpu, last->wall - first->wall),
        .core_share = share(last->own_core.busy - first->own_core.busy, last->own_core.total - first->own_core.total),
        .server_core_others = share(charged - server, total),
    };
}
