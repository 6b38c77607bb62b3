/* Action Cable in WebSocket frames, from the end of the handshake on (RFC 6455 section 5, base protocol). */
#include "crosscheck.h"

#include <stdlib.h>
#include <string.h>

enum { CONTINUATION, TEXT, CLOSE = 8, WS_PING, WS_PONG };

struct frame {
    int opcode;
    bool final;
    struct span payload;
    size_t size; /* of the whole frame */
};

static void take_message(struct parser *parser)
{
    struct note note;
    if (!parser_read_json(parser, &note))
        return;
    if (!*note.type)
        parser_tell_update(parser, &note);
    else if (!strcmp(note.type, "welcome"))
        parser_tell(parser, WELCOME);
    else if (!strcmp(note.type, "confirm_subscription"))
        parser_tell(parser, READY);
    else if (!strcmp(note.type, "reject_subscription"))
        parser_fail(parser, "the subscription was rejected");
    else if (!strcmp(note.type, "disconnect"))
        parser->ended = true;
}

static void take_part(struct parser *parser, const struct frame *frame)
{
    if ((frame->opcode == CONTINUATION) != parser->in_message) {
        parser_fail(parser, parser->in_message ? "a new message inside another" : "a continuation of nothing");
        return;
    }
    parser_keep(parser, &parser->data, frame->payload);
    parser->in_message = !frame->final;
    if (parser->in_message || *parser->fault)
        return;
    take_message(parser);
    parser->data.length = 0;
}

static void take_frame(struct parser *parser, const struct frame *frame)
{
    struct heard ping = {.word = PING, .payload = frame->payload};
    if (frame->opcode >= CLOSE && (!frame->final || frame->payload.length > MOST_CONTROL))
        parser_fail(parser, "a control frame that is too long or in parts");
    else if (frame->opcode <= TEXT)
        take_part(parser, frame);
    else if (frame->opcode == CLOSE)
        parser->ended = true;
    else if (frame->opcode == WS_PING)
        parser->tell(parser->who, &ping);
    else if (frame->opcode != WS_PONG)
        parser_fail(parser, "a frame of kind %d, which Action Cable does not have", frame->opcode);
}

static uint64_t big_endian(const unsigned char *bytes, size_t width)
{
    uint64_t value = 0;
    while (width--)
        value = value << 8 | *bytes++;
    return value;
}

/* False while the frame is not whole, and when it is none that a server may send. */
static bool read_frame(struct parser *parser, struct span rest, struct frame *frame)
{
    const unsigned char *bytes = (const unsigned char *)rest.bytes;
    if (rest.length < 2)
        return false;
    if (bytes[0] & 0x70)
        return parser_fail(parser, "a reserved bit is set: an extension nobody negotiated");
    if (bytes[1] & 0x80)
        return parser_fail(parser, "a masked frame from a server");
    size_t wide = bytes[1] == 126 ? 2 : bytes[1] == 127 ? 8 : 0, head = 2 + wide;
    if (rest.length < head)
        return false;
    uint64_t length = wide ? big_endian(bytes + 2, wide) : bytes[1];
    if (length > MESSAGE_LIMIT)
        return parser_fail(parser, "a frame of more than %d MiB", MESSAGE_LIMIT >> 20);
    frame->opcode = bytes[0] & 0x0F;
    frame->final = bytes[0] & 0x80;
    frame->payload = (struct span){rest.bytes + head, (size_t)length};
    frame->size = head + (size_t)length;
    return rest.length >= frame->size;
}

void take_frames(struct parser *parser, struct span more)
{
    struct frame frame = {0};
    parser_keep(parser, &parser->kept, more);
    struct span rest = {parser->kept.bytes, parser->kept.length};
    while (!*parser->fault && !parser->ended && read_frame(parser, rest, &frame)) {
        take_frame(parser, &frame);
        rest = (struct span){rest.bytes + frame.size, rest.length - frame.size};
    }
    if (rest.length > 0)
        memmove(parser->kept.bytes, rest.bytes, rest.length);
    parser->kept.length = rest.length;
}

size_t frame_masked(unsigned char *frame, int opcode, struct span payload)
{
    static const unsigned char mask[] = {0x9d, 0x21, 0x5e, 0xc3};
    bool wide = payload.length > MOST_CONTROL;
    size_t head = wide ? 4 : 2;
    frame[0] = (unsigned char)(0x80 | opcode);
    frame[1] = (unsigned char)(0x80 | (wide ? 126 : payload.length));
    if (wide) {
        frame[2] = (unsigned char)(payload.length >> 8);
        frame[3] = (unsigned char)payload.length;
    }
    memcpy(frame + head, mask, sizeof mask);
    for (size_t at = 0; at < payload.length; at++)
        frame[head + 4 + at] = (unsigned char)payload.bytes[at] ^ mask[at % 4];
    return head + 4 + payload.length;
}
