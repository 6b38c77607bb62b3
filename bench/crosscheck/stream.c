/* Server-sent events, from the body of a response on: chunks, lines, blocks (WHATWG HTML section 9.2.6). */
#include "crosscheck.h"

#include <stdio.h>
#include <string.h>

static void take_update(struct parser *parser)
{
    struct note note;
    if (parser_read_json(parser, &note))
        parser_tell_update(parser, &note);
}

static void end_event(struct parser *parser)
{
    if (!strcmp(parser->event, "verdict"))
        parser_tell(parser, READY);
    else if (!strcmp(parser->event, "goodbye"))
        parser->ended = true;
    else if (!*parser->event && parser->data.length > 0) /* anything else is a heartbeat or comments */
        take_update(parser);
    parser->data.length = 0;
    parser->event[0] = '\0';
}

static struct span field_value(const struct text *line, size_t name)
{
    size_t from = name < line->length ? name + 1 : name;
    if (from < line->length && line->bytes[from] == ' ')
        from++;
    return (struct span){line->bytes + from, line->length - from};
}

/* `id` and `retry` are passed over: they are for clients that come back. */
static void take_field(struct parser *parser)
{
    const struct text *line = &parser->kept;
    const char *colon = memchr(line->bytes, ':', line->length);
    size_t name = colon ? (size_t)(colon - line->bytes) : line->length;
    struct span value = field_value(line, name);
    if (name == 4 && !memcmp(line->bytes, "data", 4)) {
        if (parser->data.length > 0)
            parser_keep(parser, &parser->data, (struct span){"\n", 1});
        parser_keep(parser, &parser->data, value);
    } else if (name == 5 && !memcmp(line->bytes, "event", 5)) {
        snprintf(parser->event, sizeof parser->event, "%.*s", (int)value.length, value.bytes);
    }
}

static void end_line(struct parser *parser)
{
    if (parser->kept.length > 0)
        take_field(parser);
    else
        end_event(parser);
    parser->kept.length = 0;
}

/* Takes one line or the part of one that is there; answers what follows. */
static const char *take_line(struct parser *parser, const char *at, const char *end)
{
    const char *start = at;
    while (at < end && *at != '\n' && *at != '\r')
        at++;
    parser_keep(parser, &parser->kept, (struct span){start, (size_t)(at - start)});
    if (at == end)
        return at;
    parser->after_cr = *at == '\r';
    end_line(parser);
    return at + 1;
}

static void take_lines(struct parser *parser, struct span body)
{
    const char *at = body.bytes, *end = body.bytes + body.length;
    while (at < end && !*parser->fault) {
        bool second_half = *at == '\n' && parser->after_cr; /* of a CRLF, which is one end of a line */
        parser->after_cr = false;
        at = second_half ? at + 1 : take_line(parser, at, end);
    }
}

void take_stream(struct parser *parser, struct span rest)
{
    struct span body;
    if (!parser->chunked) {
        take_lines(parser, rest);
        return;
    }
    while (!*parser->fault && chunks_next(&parser->chunks, &rest, &body))
        take_lines(parser, body);
    if (parser->chunks.state == BROKEN)
        parser_fail(parser, "chunks that are not framed as RFC 9112 says");
    if (parser->chunks.state == LAST)
        parser->ended = true;
}
