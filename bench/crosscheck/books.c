/* Who received what: a bitmap per client over all numbers, and a log-linear histogram of latencies. Pure. */
#include "crosscheck.h"

#include <stdlib.h>
#include <string.h>

void books_open(struct books *books, int clients, int64_t updates)
{
    *books = (struct books){.updates = updates, .words = (size_t)updates / 64 + 1};
    books->bits = calloc((size_t)clients * books->words, sizeof *books->bits);
    books->highest = calloc((size_t)clients, sizeof *books->highest);
    if (!books->bits || !books->highest)
        give_up("no memory for the books of %d clients: take fewer clients or a shorter run", clients);
}

void books_enter(struct books *books, int client, int64_t seq)
{
    uint64_t *word = &books->bits[(size_t)client * books->words + (size_t)seq / 64];
    uint64_t bit = UINT64_C(1) << (seq % 64);
    if (*word & bit)
        books->doubled++;
    else if (seq < books->highest[client])
        books->disordered++;
    *word |= bit;
    if (seq > books->highest[client])
        books->highest[client] = seq;
}

int64_t books_lost(const struct books *books, int clients)
{
    int64_t received = 0;
    for (size_t word = 0; word < (size_t)clients * books->words; word++)
        received += __builtin_popcountll(books->bits[word]);
    return books->updates * clients - received;
}

void books_close(struct books *books)
{
    free(books->bits);
    free(books->highest);
}

/* Values below 128 have a cell each; above, each power of two is cut into 128 cells. */
static int cell_of(uint64_t value)
{
    int shift = value < 128 ? 0 : 63 - __builtin_clzll(value) - 7;
    return value < 128 ? (int)value : shift * 128 + (int)(value >> shift);
}

/* The middle of a cell. */
static int64_t value_of(int cell)
{
    int shift = cell < 256 ? 0 : cell / 128 - 1;
    int64_t first = (int64_t)(cell - shift * 128) << shift;
    return first + (INT64_C(1) << shift) / 2;
}

void histogram_enter(struct histogram *histogram, int64_t value)
{
    histogram->counts[cell_of((uint64_t)value)]++;
    histogram->total++;
    if (value > histogram->max)
        histogram->max = value;
}

int64_t histogram_at(const struct histogram *histogram, double share)
{
    double wanted = share * (double)histogram->total;
    int64_t seen = 0;
    for (int cell = 0; cell < HISTOGRAM_CELLS; cell++) {
        seen += (int64_t)histogram->counts[cell];
        if (histogram->counts[cell] && (double)seen >= wanted)
            return value_of(cell);
    }
    return 0;
}
