/* A second instrument beside the bench, which shares no code with it: connect, publish on schedule, check, report.
 * See README.md. */
#define _GNU_SOURCE
#include "crosscheck.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/timerfd.h>

enum { EVENTS = 64, SPARE_FILES = 50 };
#define HEAD_START (50 * MILLISECOND)
#define METER_LEAD (2 * MILLISECOND) /* reading the counters must not make the first measured publish late */
#define SILENCE (5 * SECOND)
#define TRAILING (200 * MILLISECOND) /* how long to listen for doubles after the last update */
static const double warmup_seconds = 1, fullest = 0.80;

struct run {
    struct options options;
    struct clients clients;
    struct publisher publisher;
    int poll, timer;
    bool begun, ended; /* the measured window */
    struct reading first, last;
    int64_t answered_at;
};

static void move_to_core(int core)
{
    cpu_set_t cores;
    CPU_ZERO(&cores);
    CPU_SET((size_t)core, &cores);
    if (sched_setaffinity(0, sizeof cores, &cores))
        give_up("--core %d cannot be used (%s): give one that this process may run on", core, strerror(errno));
}

static void allow_files(int clients)
{
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_max < (rlim_t)clients + SPARE_FILES)
        give_up("%d clients need %d files, the limit is %llu: raise `ulimit -Hn`", clients, clients + SPARE_FILES,
                (unsigned long long)limit.rlim_max);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

static void wake_at(struct run *run, int64_t moment)
{
    struct itimerspec when = {.it_value = {.tv_sec = moment / SECOND, .tv_nsec = moment % SECOND}};
    timerfd_settime(run->timer, TFD_TIMER_ABSTIME, &when, NULL);
}

/* Opens the window ahead of the first measured publish; answers whether it is still too early for that. */
static bool window_waits(struct run *run)
{
    int64_t moment = publisher_intended(&run->publisher, run->publisher.next) - METER_LEAD;
    if (run->begun || run->publisher.next <= run->publisher.warm)
        return false;
    if (now() < moment) {
        wake_at(run, moment);
        return true;
    }
    run->first = meter_read(run->options.pid, run->options.core);
    run->begun = true;
    return false;
}

static void publish_what_is_due(struct run *run)
{
    struct publisher *publisher = &run->publisher;
    if (publisher->waiting || publisher->next > publisher->updates || window_waits(run))
        return;
    int64_t moment = publisher_intended(publisher, publisher->next);
    if (now() < moment)
        wake_at(run, moment);
    else
        publisher_send_next(publisher);
}

static bool all_published(const struct run *run)
{
    return run->publisher.next > run->publisher.updates;
}

static void end_window(struct run *run)
{
    run->last = meter_read(run->options.pid, run->options.core);
    run->ended = true;
}

static void turn(struct run *run, void *who)
{
    if (who == &run->timer)
        wake_at(run, 0); /* it has rung; whoever is due looks at the clock */
    else if (who != &run->publisher)
        client_hear(who);
    else if (publisher_hear(&run->publisher))
        run->answered_at = now();
}

static void turns_until(struct run *run, int64_t deadline)
{
    struct epoll_event events[EVENTS];
    int64_t left = (deadline - now()) / MILLISECOND;
    int wait = left < 0 || run->options.awake ? 0 : (int)left + 1;
    int count = epoll_wait(run->poll, events, EVENTS, wait);
    for (int index = 0; index < count; index++)
        turn(run, events[index].data.ptr);
}

/* The moment at which nobody would wait any longer. */
static int64_t patience(const struct run *run)
{
    int64_t due = publisher_intended(&run->publisher, run->publisher.next);
    int64_t latest = run->clients.heard_at > run->answered_at ? run->clients.heard_at : run->answered_at;
    return (due > latest ? due : latest) + SILENCE;
}

static void measure(struct run *run)
{
    while (!run->ended || run->publisher.waiting) {
        if (now() > patience(run))
            break;
        publish_what_is_due(run);
        turns_until(run, patience(run));
        if (!run->ended && all_published(run) && run->clients.arrived == run->options.clients)
            end_window(run);
    }
    if (run->publisher.waiting)
        give_up("publish %lld was not answered in %d s: look at the server's output",
                (long long)run->publisher.next - 1, (int)(SILENCE / SECOND));
    if (!run->ended)
        end_window(run);
    for (int64_t end = now() + TRAILING; now() < end;)
        turns_until(run, end);
}

static int64_t count_of(double seconds, double rate)
{
    int64_t count = (int64_t)(seconds * rate + 0.5);
    return count > 0 ? count : 1;
}

static void prepare(struct run *run)
{
    struct options *options = &run->options;
    if (options->core >= 0)
        move_to_core(options->core);
    allow_files(options->clients);
    run->poll = epoll_create1(EPOLL_CLOEXEC);
    run->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    meter_read(options->pid, options->core); /* says now, not after the run, that there is no such process */
    clients_open(&run->clients, options, run->poll);
    publisher_open(&run->publisher, options);
    watch(run->poll, run->publisher.sock, &run->publisher);
    watch(run->poll, run->timer, &run->timer);
    run->publisher.warm = count_of(warmup_seconds, options->rate);
    run->publisher.updates = run->publisher.warm + count_of(options->seconds, options->rate);
    clients_expect(&run->clients, &run->publisher);
    run->publisher.start = now() + HEAD_START;
}

static double milliseconds(int64_t value)
{
    return (double)value / MILLISECOND;
}

static int verdict(const struct run *run, int64_t lost, const struct usage *usage)
{
    const struct clients *clients = &run->clients;
    double busy = usage->core_share > usage->client_share ? usage->core_share : usage->client_share;
    if (lost || clients->books.doubled || clients->books.disordered || clients->gone)
        return EXIT_LOSS;
    if (busy <= fullest || run->options.awake)
        return EXIT_OK;
    fprintf(stderr, "crosscheck: this core was %.0f %% busy (limit %.0f %%): give it less load, or to itself\n",
            100 * busy, 100 * fullest);
    return EXIT_VOID;
}

static int report(const struct run *run)
{
    const struct clients *clients = &run->clients;
    const struct histogram *latencies = &clients->latencies;
    int64_t lost = books_lost(&clients->books, run->options.clients);
    struct usage usage = meter_between(&run->first, &run->last);
    if (usage.server_us <= 0)
        give_up("process %d used no CPU: give the --pid of the server that listens on --port", run->options.pid);
    printf("{\"us_per_delivery\": %.4f, \"p50_ms\": %.4f, \"p99_ms\": %.4f, \"max_ms\": %.4f, \"deliveries\": %lld, "
           "\"lost\": %lld, \"doubled\": %lld, \"disordered\": %lld, \"closed\": %d, \"client_cpu_share\": %.4f, "
           "\"core_share\": %.4f, \"server_core_others\": %.4f}\n",
           usage.server_us / (double)(latencies->total ? latencies->total : 1),
           milliseconds(histogram_at(latencies, 0.50)), milliseconds(histogram_at(latencies, 0.99)),
           milliseconds(latencies->max), (long long)latencies->total, (long long)lost,
           (long long)clients->books.doubled, (long long)clients->books.disordered, clients->gone, usage.client_share,
           usage.core_share, usage.server_core_others);
    return verdict(run, lost, &usage);
}

int main(int count, char **words)
{
    static struct run run;
    run.options = options_read(count, words);
    prepare(&run);
    measure(&run);
    int status = report(&run);
    clients_close(&run.clients);
    return status;
}
