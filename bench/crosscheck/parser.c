/* What the bytes of one connection say: a response head, then an event stream or frames. Knows no socket and no
 * clock, so that a test can feed it anything in any pieces. */
#define _GNU_SOURCE
#include "crosscheck.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { HEAD_LIMIT = 16 * 1024 };

bool parser_fail(struct parser *parser, const char *format, ...)
{
    va_list values;
    va_start(values, format);
    vsnprintf(parser->fault, sizeof parser->fault, format, values);
    va_end(values);
    return false;
}

void parser_keep(struct parser *parser, struct text *text, struct span more)
{
    if (text->length + more.length > MESSAGE_LIMIT) {
        parser_fail(parser, "a message of more than %d MiB", MESSAGE_LIMIT >> 20);
        return;
    }
    while (text->length + more.length > text->room) {
        text->room = text->room ? text->room * 2 : 512;
        text->bytes = realloc(text->bytes, text->room);
        if (!text->bytes)
            give_up("no memory for a message: take fewer clients or smaller updates");
    }
    if (more.length > 0) /* an empty text may have no address to copy to */
        memcpy(text->bytes + text->length, more.bytes, more.length);
    text->length += more.length;
}

void parser_tell(struct parser *parser, int word)
{
    struct heard heard = {.word = word};
    parser->tell(parser->who, &heard);
}

bool parser_read_json(struct parser *parser, struct note *note)
{
    const struct text *data = &parser->data;
    int shown = data->length < 40 ? (int)data->length : 40;
    return json_read(data->bytes, data->length, note) ||
           parser_fail(parser, "a message that is not JSON: '%.*s'", shown, data->bytes);
}

void parser_tell_update(struct parser *parser, const struct note *note)
{
    struct heard heard = {.word = UPDATE, .seq = note->seq, .t = note->t};
    if (note->has_seq && note->has_t)
        parser->tell(parser->who, &heard);
}

static bool judge_stream(struct parser *parser, const char *head)
{
    char kind[64], coding[32], transfer[32];
    head_value(head, "content-type", kind, sizeof kind);
    head_value(head, "content-encoding", coding, sizeof coding);
    head_value(head, "transfer-encoding", transfer, sizeof transfer);
    parser->chunked = !strcasecmp(transfer, "chunked");
    if (head_status(head) != 200 || strncasecmp(kind, "text/event-stream", 17))
        return parser_fail(parser, "the stream was refused: HTTP %d, %.40s", head_status(head), kind);
    if (*coding && strcasecmp(coding, "identity"))
        return parser_fail(parser, "a compression nobody asked for: %s", coding);
    return true;
}

static bool judge_upgrade(struct parser *parser, const char *head)
{
    char accept[64], protocol[64], extensions[64];
    head_value(head, "sec-websocket-accept", accept, sizeof accept);
    head_value(head, "sec-websocket-protocol", protocol, sizeof protocol);
    head_value(head, "sec-websocket-extensions", extensions, sizeof extensions);
    if (head_status(head) != 101)
        return parser_fail(parser, "the upgrade was refused: HTTP %d", head_status(head));
    if (strcmp(accept, SAMPLE_ACCEPT))
        return parser_fail(parser, "a wrong sec-websocket-accept: '%.40s'", accept);
    if (strcmp(protocol, CABLE_PROTOCOL))
        return parser_fail(parser, "another subprotocol: '%.40s'", protocol);
    if (*extensions)
        return parser_fail(parser, "an extension nobody offered: '%.40s'", extensions);
    return true;
}

/* Whether a head may still become one; asked at once, for a server of another kind may never send an empty line. */
static bool begins_like_http(const struct text *head)
{
    const char start[] = "HTTP/1.";
    size_t length = head->length < strlen(start) ? head->length : strlen(start);
    return !memcmp(head->bytes, start, length);
}

static void judge_head(struct parser *parser, const char *head)
{
    parser->headed = parser->transport == SSE ? judge_stream(parser, head) : judge_upgrade(parser, head);
}

/* Adds to the head until it is whole; answers how many of the bytes belong to it. */
static size_t take_head(struct parser *parser, struct span more)
{
    struct text *head = &parser->kept;
    size_t before = head->length;
    parser_keep(parser, head, more);
    char *end = memmem(head->bytes, head->length, "\r\n\r\n", 4);
    if (!begins_like_http(head))
        parser_fail(parser, "not an HTTP response: '%.*s'", head->length < 20 ? (int)head->length : 20, head->bytes);
    else if (!end && head->length > HEAD_LIMIT)
        parser_fail(parser, "a response head of more than %d KiB", HEAD_LIMIT >> 10);
    if (!end || *parser->fault)
        return more.length;
    end[2] = '\0';
    judge_head(parser, head->bytes);
    size_t whole = (size_t)(end + 4 - head->bytes);
    head->length = 0;
    return whole - before;
}

void parser_begin(struct parser *parser, enum transport transport, listener *listen, void *who)
{
    *parser = (struct parser){.transport = transport, .tell = listen, .who = who};
}

void parser_feed(struct parser *parser, const char *bytes, size_t length)
{
    struct span rest = {bytes, length};
    if (*parser->fault || length == 0)
        return;
    if (!parser->headed) {
        size_t used = take_head(parser, rest);
        rest = (struct span){bytes + used, length - used};
    }
    if (!parser->headed || parser->ended)
        return;
    if (parser->transport == SSE)
        take_stream(parser, rest);
    else
        take_frames(parser, rest);
}

void parser_end(struct parser *parser)
{
    free(parser->kept.bytes);
    free(parser->data.bytes);
    *parser = (struct parser){0};
}
