/* Feeds the parser what stands on stdin, cut in every way, for the tests; a fuzzer too.
 *
 *   pieces sse|cable            one line for each place to cut the stream in two, and one for single bytes
 *   pieces sse|cable ROUNDS     as often, with random bytes changed and random cuts: prints nothing, must not crash
 */
#include "crosscheck.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_BYTES = 1 << 20 };

static bool quiet;

static void print(void *who, const struct heard *heard)
{
    static const char *const words[] = {"ready", "welcome", "ping", "update"};
    (void)who;
    if (quiet)
        return;
    printf("%s", words[heard->word]);
    if (heard->word == UPDATE)
        printf(" %lld %lld", (long long)heard->seq, (long long)heard->t);
    if (heard->word == PING)
        printf(" %.*s", (int)heard->payload.length, heard->payload.bytes);
    printf("; ");
}

/* The piece is copied to a place of its own size, so that a sanitizer sees a read beyond its end. */
static void feed(struct parser *parser, const char *bytes, size_t length)
{
    char *piece = malloc(length ? length : 1);
    if (!piece)
        give_up("no memory\n");
    memcpy(piece, bytes, length);
    parser_feed(parser, piece, length);
    free(piece);
}

static void close_parser(struct parser *parser)
{
    if (!quiet)
        printf("%s%s\n", parser->ended ? "ended" : "", parser->fault);
    parser_end(parser);
}

static void cut_in_two(enum transport transport, const char *bytes, size_t length, size_t at)
{
    struct parser parser;
    parser_begin(&parser, transport, print, NULL);
    feed(&parser, bytes, at);
    feed(&parser, bytes + at, length - at);
    close_parser(&parser);
}

static void cut_in_pieces(enum transport transport, const char *bytes, size_t length, size_t longest)
{
    struct parser parser;
    parser_begin(&parser, transport, print, NULL);
    for (size_t at = 0, step; at < length; at += step) {
        step = 1 + (size_t)rand() % longest;
        step = step < length - at ? step : length - at;
        feed(&parser, bytes + at, step);
    }
    close_parser(&parser);
}

static void fuzz(enum transport transport, const char *bytes, size_t length, long rounds)
{
    static char changed[MOST_BYTES];
    quiet = true;
    srand(1); /* the same rounds each time: a crash can be looked into */
    while (rounds-- > 0) {
        memcpy(changed, bytes, length);
        for (int change = rand() % 4; change >= 0; change--)
            changed[(size_t)rand() % length] = (char)rand();
        cut_in_pieces(transport, changed, length, 1 + (size_t)rand() % 100);
    }
}

void give_up(const char *format, ...)
{
    va_list values;
    va_start(values, format);
    vfprintf(stderr, format, values);
    va_end(values);
    exit(EXIT_ENVIRONMENT);
}

int main(int count, char **words)
{
    static char bytes[MOST_BYTES];
    size_t length = fread(bytes, 1, sizeof bytes, stdin);
    if (count < 2 || length == 0)
        give_up("usage: pieces sse|cable [ROUNDS] <STREAM\n");
    enum transport transport = strcmp(words[1], "sse") ? CABLE : SSE;
    if (count > 2) {
        fuzz(transport, bytes, length, atol(words[2]));
        return EXIT_OK;
    }
    for (size_t at = 0; at <= length; at++)
        cut_in_two(transport, bytes, length, at);
    cut_in_pieces(transport, bytes, length, 1);
    return EXIT_OK;
}
