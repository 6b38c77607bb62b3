/* The command line: read once, refused with one sentence. */
#define _GNU_SOURCE
#include "crosscheck.h"

#include <arpa/inet.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "crosscheck --port P --pid PID --transport sse|cable --clients N --rate R --seconds S\n"
    "           [--host 127.0.0.1] [--size 350] [--stream bench] [--token bench-token] [--core K]\n"
    "           [--awake]\n"
    "Opens N clients, publishes R updates a second for S seconds after one to warm up, and prints one JSON object.\n"
    "PID is the root of the server's processes. Exit: 0 ok, 1 an update lost, doubled or disordered,\n"
    "2 this program's own core was more than 80 % busy, 3 not measured. With --awake it looks for news without a pause,\n"
    "so that the server never has to wake it; then its core is always busy.\n";

void give_up(const char *format, ...)
{
    va_list values;
    va_start(values, format);
    fputs("crosscheck: ", stderr);
    vfprintf(stderr, format, values);
    fputs("\n", stderr);
    va_end(values);
    exit(EXIT_ENVIRONMENT);
}

static double number(const char *name, const char *text, double least, double most)
{
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end || !(value >= least && value <= most))
        give_up("--%s is '%s': give a number from %g to %g", name, text, least, most);
    return value;
}

static int whole(const char *name, const char *text, int least, int most)
{
    double value = number(name, text, least, most);
    if (value != (int)value)
        give_up("--%s is '%s': give a whole number", name, text);
    return (int)value;
}

#define PLAIN "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"

/* Names go into a URL and into JSON inside JSON as they are. */
static const char *plain(const char *name, const char *text)
{
    size_t length = strlen(text);
    if (length == 0 || length > 64 || strspn(text, PLAIN) < length)
        give_up("--%s is '%s': give up to 64 letters, digits, _ and -", name, text);
    return text;
}

static enum transport transport(const char *text)
{
    if (strcmp(text, "sse") && strcmp(text, "cable"))
        give_up("--transport is '%s': give sse or cable", text);
    return strcmp(text, "sse") ? CABLE : SSE;
}

static const struct option known[] = {
    {"host", required_argument, NULL, 'h'},    {"port", required_argument, NULL, 'p'},
    {"pid", required_argument, NULL, 'i'},     {"transport", required_argument, NULL, 't'},
    {"clients", required_argument, NULL, 'n'}, {"rate", required_argument, NULL, 'r'},
    {"seconds", required_argument, NULL, 's'}, {"size", required_argument, NULL, 'z'},
    {"stream", required_argument, NULL, 'm'},  {"token", required_argument, NULL, 'k'},
    {"core", required_argument, NULL, 'c'},    {"awake", no_argument, NULL, 'a'},
    {"help", no_argument, NULL, 'e'},
    {NULL, 0, NULL, 0},
};

static void help(void)
{
    fputs(usage, stdout);
    exit(EXIT_OK);
}

static struct in_addr address(const char *text)
{
    struct in_addr found;
    if (inet_pton(AF_INET, text, &found) != 1)
        give_up("--host is '%s': give an IPv4 address such as 127.0.0.1", text);
    return found;
}

static void take(struct options *options, int letter, const char *name)
{
    switch (letter) {
    case 'e': help(); break;
    case 'h': options->server.sin_addr = address(optarg); break;
    case 'p': options->server.sin_port = htons((uint16_t)whole(name, optarg, 1, 65535)); break;
    case 'i': options->pid = whole(name, optarg, 1, 1 << 30); break;
    case 't': options->transport = transport(optarg); break;
    case 'n': options->clients = whole(name, optarg, 1, 1000000); break;
    case 'r': options->rate = number(name, optarg, 0.1, 100000); break;
    case 's': options->seconds = number(name, optarg, 0.1, 86400); break;
    case 'z': options->size = whole(name, optarg, 100, 60000); break;
    case 'm': options->stream = plain(name, optarg); break;
    case 'k': options->token = plain(name, optarg); break;
    case 'c': options->core = whole(name, optarg, 0, 1023); break;
    case 'a': options->awake = true; break;
    default: give_up("this command line cannot be read. It goes:\n%s", usage);
    }
}

struct options options_read(int count, char **words)
{
    struct options options = {.size = 350, .stream = "bench", .token = "bench-token", .core = -1, .transport = UNSET};
    options.server.sin_family = AF_INET;
    options.server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (int letter, index = 0; (letter = getopt_long(count, words, "", known, &index)) != -1;)
        take(&options, letter, known[index].name);
    if (optind < count || !options.server.sin_port || !options.pid || options.transport == UNSET || !options.clients ||
        !options.rate || !options.seconds)
        give_up("--port, --pid, --transport, --clients, --rate and --seconds are needed. It goes:\n%s", usage);
    char host[INET_ADDRSTRLEN];
    inet_ntop(AF_INET, &options.server.sin_addr, host, sizeof host);
    snprintf(options.host, sizeof options.host, "%s:%d", host, ntohs(options.server.sin_port));
    return options;
}
