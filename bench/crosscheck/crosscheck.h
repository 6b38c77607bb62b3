/* The whole second instrument at a glance: what each file offers to the others.
 *
 *   options.c     the command line
 *   crosscheck.c  the order of a measurement, and its report
 *   clients.c     N connections of one transport
 *   publisher.c   the open-loop schedule, over an HTTP connection of its own
 *   parser.c      bytes of one connection in, what they say out; no socket, no clock
 *   stream.c      its half for event streams
 *   frames.c      its half for cables
 *   http.c        response heads and chunks (RFC 9112)
 *   json.c        the few values of a JSON text that matter here
 *   books.c       a bitmap per client, and the histogram of latencies
 *   meter.c       CPU of the server's processes, of this one, and of cores
 *
 * Moments and durations are nanoseconds of CLOCK_MONOTONIC unless a name says otherwise.
 */
#ifndef CROSSCHECK_H
#define CROSSCHECK_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define SECOND INT64_C(1000000000)
#define MILLISECOND INT64_C(1000000)

enum { EXIT_OK, EXIT_LOSS, EXIT_VOID, EXIT_ENVIRONMENT }; /* the exit codes of the bench */
enum transport { UNSET, SSE, CABLE };

/* ---- options.c ---- */

struct options {
    struct sockaddr_in server;
    char host[64]; /* "127.0.0.1:4000", for Host headers */
    pid_t pid;     /* root of the server's process tree */
    enum transport transport;
    int clients;
    double rate, seconds; /* publishes a second, and for how long they are measured */
    int size;             /* bytes of JSON in an update */
    const char *stream, *token;
    int core;   /* where this process runs; -1: anywhere */
    bool awake; /* looks for news without a pause, so that nobody has to wake it */
};

struct options options_read(int count, char **words);

/* Ends with exit code 3 and one sentence that says what to do. */
_Noreturn void give_up(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* ---- json.c ---- */

struct note {
    bool has_seq, has_t;
    int64_t seq, t;
    char type[32]; /* the string at the top level's "type"; empty when there is none */
};

/* Walks the whole text; false when its strings or brackets do not close. */
bool json_read(const char *text, size_t length, struct note *note);

/* ---- http.c ---- */

/* The status of a response head; 0 when it is no head of HTTP/1.1. */
int head_status(const char *head);

/* Copies the value of a header; empty when it is absent. */
void head_value(const char *head, const char *name, char *value, size_t room);

struct chunks {
    enum { SIZE, EXTENSION, SIZE_LF, DATA, DATA_CR, DATA_LF, LAST, BROKEN } state;
    uint64_t left;
    int digits;
};

struct span {
    const char *bytes;
    size_t length;
};

/* Eats framing from `rest` and answers the next run of body bytes; false when `rest` holds no more. */
bool chunks_next(struct chunks *chunks, struct span *rest, struct span *body);

/* ---- parser.c ---- */

enum { MESSAGE_LIMIT = 16 * 1024 * 1024 };
#define CABLE_PROTOCOL "actioncable-v1-json"
/* The pair in RFC 6455 section 1.3: with a key whose answer is known, checking it takes no SHA-1 of our own. */
#define SAMPLE_KEY "dGhlIHNhbXBsZSBub25jZQ=="
#define SAMPLE_ACCEPT "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

struct text {
    char *bytes;
    size_t length, room;
};

struct heard {
    enum { READY, WELCOME, PING, UPDATE } word;
    int64_t seq, t;      /* of an UPDATE */
    struct span payload; /* of a PING */
};

typedef void listener(void *who, const struct heard *heard);

struct parser {
    enum transport transport;
    listener *tell;
    void *who;
    char fault[96]; /* how the server broke the protocol; empty while it did not */
    bool ended;     /* the server said that nothing will follow */
    bool headed, chunked, after_cr, in_message;
    struct chunks chunks;
    struct text kept; /* what is not whole: a head, a line of an event, a frame */
    struct text data; /* the event or message so far */
    char event[32];
};

void parser_begin(struct parser *parser, enum transport transport, listener *listen, void *who);
void parser_feed(struct parser *parser, const char *bytes, size_t length);
void parser_end(struct parser *parser);

/* For stream.c and frames.c. parser_fail is always false, so that a reader can fail and return at once. */
bool parser_fail(struct parser *parser, const char *format, ...) __attribute__((format(printf, 2, 3)));
void parser_keep(struct parser *parser, struct text *text, struct span more);
bool parser_read_json(struct parser *parser, struct note *note);
void parser_tell(struct parser *parser, int word);
void parser_tell_update(struct parser *parser, const struct note *note);

/* ---- stream.c ---- */

void take_stream(struct parser *parser, struct span rest);

/* ---- frames.c ---- */

enum { MOST_CONTROL = 125 }; /* bytes of payload, also the most that a short length can say */

void take_frames(struct parser *parser, struct span more);

/* Writes one masked frame, at most 8 bytes longer than its payload of less than 64 KiB; answers its length. */
size_t frame_masked(unsigned char *frame, int opcode, struct span payload);

/* ---- books.c ---- */

struct books {
    int64_t updates; /* numbers run from 1 to this */
    size_t words;    /* of a client's bitmap */
    uint64_t *bits;
    int64_t *highest; /* per client */
    int64_t doubled, disordered;
};

void books_open(struct books *books, int clients, int64_t updates);
void books_enter(struct books *books, int client, int64_t seq);
int64_t books_lost(const struct books *books, int clients);
void books_close(struct books *books);

enum { HISTOGRAM_CELLS = 58 * 128 };

struct histogram {
    uint64_t counts[HISTOGRAM_CELLS];
    int64_t total, max;
};

void histogram_enter(struct histogram *histogram, int64_t value);

/* The value at a share (0 to 1) of the entries, at most 0.8 % off; 0 when there are none. */
int64_t histogram_at(const struct histogram *histogram, double share);

/* ---- meter.c ---- */

enum { MOST_PROCESSES = 256 };

struct tree {
    pid_t pids[MOST_PROCESSES];
    int count;
};

struct reading {
    int64_t wall, own_cpu, server_cpu;
    struct tree tree;
    struct core_time {
        int64_t busy, charged, total; /* since boot; `charged` without interrupts */
    } own_core, server_core;
};

struct usage {
    double server_us;          /* CPU of the process tree */
    double client_share;       /* of one core, this process */
    double core_share;         /* how busy this process's core was, whoever kept it so; 0 without --core */
    double server_core_others; /* share of the server's core that others took, at least; 0 when not pinned */
};

int64_t now(void);
struct reading meter_read(pid_t server, int own_core);
struct usage meter_between(const struct reading *first, const struct reading *last);

/* ---- publisher.c ---- */

struct publisher {
    const struct options *options;
    int sock;
    int64_t start, warm, updates, next; /* `next` is the number to be sent next */
    bool waiting;                       /* for an answer */
    char answer[8192];
    size_t have;
};

void publisher_open(struct publisher *publisher, const struct options *options);

/* When number `seq` should leave, whatever the server does. */
int64_t publisher_intended(const struct publisher *publisher, int64_t seq);
void publisher_send_next(struct publisher *publisher);

/* Reads what came; true when it completes the answer that was waited for. */
bool publisher_hear(struct publisher *publisher);

/* ---- clients.c ---- */

struct client {
    struct clients *all;
    int sock; /* -1 once it is gone */
    bool ready, arrived;
    struct parser parser;
};

struct clients {
    const struct options *options;
    const struct publisher *publisher; /* NULL while nothing is published */
    struct client *each;
    int begun, ready, gone;
    int arrived; /* have the last update, or are gone */
    int64_t read_at, heard_at;
    struct books books;
    struct histogram latencies;
};

/* Has epoll tell `who` when `file` can be read. */
void watch(int poll, int file, void *who);

/* A connected socket for the client of that index, -1 and errno when there is none. */
int connected(const struct options *options, int index);

/* Opens all and waits until each is ready; `poll` holds nothing but clients so far. */
void clients_open(struct clients *clients, const struct options *options, int poll);

/* From here on updates count. */
void clients_expect(struct clients *clients, const struct publisher *publisher);
void client_hear(struct client *client);
void clients_close(struct clients *clients);

#endif
