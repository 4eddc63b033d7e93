/* Loops that wait. If nothing that a pass reads can change by itself and the machine is at a pass's
 * end what it was at its start, every further pass is the same until an event comes: whole passes
 * are counted then, not executed. The proof: registers are equal, no page that was written differs,
 * and no access was one with an effect or of something that runs with time. */
#include "core.h"

enum { CLOCKS_A_POLL = 1 << 10, MOST = 1 << 20, LONGEST_PASS = 1 << 12 /* core clocks */ };
/* A proof costs as much of the host as so many clocks of a loop that polls, and of another, for each
 * poll after which one is looked for. */
enum { WORTH_POLLED = 1 << 9, WORTH = 1 << 12 };

/* Something happened that a pass of a waiting loop may not do. */
void leap_touch(Core *c)
{
    c->leap.touched = true;
    c->leap.polls = 0;
}

/* A register without effects was read: a loop that does so often may wait. */
void leap_poll(Core *c)
{
    if (!c->leap.polls)
        c->leap.poll_block = c->block;
    if (c->block == c->leap.poll_block && ++c->leap.polls >= c->leap.after_polls)
        c->deadline = 0;
}

static uint64_t worked(const Core *c) { return c->now - c->idle; }

/* At a block's start, now and then: is the engine to be left, for leap() to look? */
bool leap_wants(Core *c, uint32_t address, uint64_t next)
{
    Leap *l = &c->leap;
    if (!l->first)
        return false;
    if (address == l->looked) { /* the block that was left for */
        l->looked = 0;
        return false;
    }
    if (l->proving)
        return address == l->head || c->now - l->began > LONGEST_PASS;
    bool polled = l->polls >= l->after_polls;
    if (!polled && worked(c) - l->worked < l->after_clocks)
        return false;
    if (next - c->now > (uint64_t)l->first * (polled ? WORTH_POLLED : WORTH))
        return true;
    l->polls = 0; /* not with what comes next: that is an interrupt's handler */
    l->worked = worked(c);
    return false;
}

/* A page is about to be written for the first time in a proof. */
void leap_write(Core *c, const Region *r, uint32_t address)
{
    Leap *l = &c->leap;
    const uint8_t *page = r->data + ((address - r->base) & ~(uint32_t)(PAGE - 1));
    for (int i = 0; i < l->pages; i++)
        if (l->written[i].at == page)
            return;
    if (l->pages == MOST_PAGES) {
        l->touched = true;
        return;
    }
    l->written[l->pages].at = page;
    memcpy(l->written[l->pages++].was, page, PAGE);
}

static bool is_the_same(Core *c)
{
    uint32_t state[STATE_WORDS];
    if (c->leap.touched)
        return false;
    for (int i = 0; i < c->leap.pages; i++)
        if (memcmp(c->leap.written[i].at, c->leap.written[i].was, PAGE))
            return false;
    state_registers(c, state);
    return !memcmp(state, c->leap.state, sizeof state);
}

/* What has led here in vain is to be there for longer the next time. */
static void give_up(Leap *l)
{
    if (l->polled)
        l->after_polls = l->after_polls < MOST ? 2 * l->after_polls : MOST;
    else if (l->after_clocks < (uint64_t)MOST * CLOCKS_A_POLL)
        l->after_clocks *= 2;
}

static void start(Leap *l)
{
    l->after_polls = l->first;
    l->after_clocks = l->first * CLOCKS_A_POLL;
}

/* Outside of the engine, at the start of the block that leap_wants() has met. */
void leap(Core *c, uint32_t address, uint64_t next)
{
    Leap *l = &c->leap;
    l->looked = address;
    bool polled = l->polls >= l->after_polls;
    uint64_t pass = c->now - l->began;
    l->polls = 0;
    l->began = c->now;
    l->worked = worked(c);
    if (!l->proving) {
        l->proving = true;
        l->polled = polled;
        l->touched = false;
        l->pages = 0;
        l->head = address;
        state_registers(c, l->state);
        uc_ctl_flush_tlb(c->uc); /* so that the next store to each page is heard */
        return;
    }
    l->proving = false;
    if (address != l->head || !is_the_same(c)) {
        give_up(l);
        return;
    }
    if (next > c->now + pass) {
        uint64_t passes = (next - c->now) / pass - 1; /* the last one as it is */
        c->now += passes * pass;
        l->leapt += passes * pass;
    }
    start(l);
}

void leap_reset(Core *c)
{
    c->leap.proving = false;
    c->leap.looked = 0;
    c->leap.worked = worked(c);
    start(&c->leap);
    c->leap.after_clocks = (uint64_t)c->leap.first * WORTH;
}
