#include "bench/result_memory.h"

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench/divert.h"

enum { SIZES_MAX = 256, BLOCK_BYTES_MIN = 16 << 10, LINE_BYTES = 64 };

/* One line before a block. */
typedef union block {
    struct {
        union block *next; /* given back before it */
        size_t size;       /* its index in `sizes` */
    } head;
    unsigned char line[LINE_BYTES];
} block;

/* Blocks of one size. */
struct size {
    size_t bytes;
    block *free; /* the last that was given back */
};

/* One a process, as malloc is: what torch calls has no argument for it. */
static struct {
    pthread_mutex_t lock;
    unsigned char *start, *end; /* the region */
    unsigned char *unused;      /* from here on */
    struct size sizes[SIZES_MAX];
    size_t size_count, held; /* blocks that someone holds */
    bool diverted, gives;
} memory = { .lock = PTHREAD_MUTEX_INITIALIZER };

static size_t size_of(size_t bytes)
{
    size_t i = 0;

    while (i < memory.size_count && memory.sizes[i].bytes != bytes)
        i++;
    if (i == memory.size_count && i < SIZES_MAX)
        memory.sizes[memory.size_count++] = (struct size){ .bytes = bytes };
    return i;
}

/* A block that nobody had yet, or NULL; its pages are there afterwards. Two lines stand between the
 * blocks' contents, so that equal ones do not start at the same place of a page. */
static block *cut_off(size_t size)
{
    size_t bytes = memory.sizes[size].bytes;
    block *b = (block *)memory.unused;

    if ((size_t)(memory.end - memory.unused) < sizeof *b + bytes + LINE_BYTES)
        return NULL;
    memory.unused += sizeof *b + bytes + LINE_BYTES;
    memset(b, 0, sizeof *b + bytes);
    b->head.size = size;
    return b;
}

static void *take(size_t bytes)
{
    size_t size;
    block *b = NULL;

    pthread_mutex_lock(&memory.lock);
    size = memory.gives ? size_of(bytes) : SIZES_MAX;
    if (size < SIZES_MAX) {
        b = memory.sizes[size].free;
        if (b)
            memory.sizes[size].free = b->head.next;
        else
            b = cut_off(size);
    }
    memory.held += b != NULL;
    pthread_mutex_unlock(&memory.lock);
    return b ? b + 1 : NULL;
}

static bool is_ours(const void *p)
{
    return (const unsigned char *)p >= memory.start && (const unsigned char *)p < memory.end;
}

/* What torch calls in place of posix_memalign. */
static int request(void **out, size_t alignment, size_t bytes)
{
    size_t lines = bytes / LINE_BYTES + (bytes % LINE_BYTES != 0);
    void *p = NULL;

    if (bytes >= BLOCK_BYTES_MIN && alignment <= LINE_BYTES && bytes <= PTRDIFF_MAX)
        p = take(lines * LINE_BYTES);
    if (!p)
        return posix_memalign(out, alignment, bytes);
    *out = p;
    return 0;
}

/* What torch calls in place of free. */
static void give_back(void *p)
{
    block *b = p;
    struct size *size;

    if (!is_ours(p)) {
        free(p);
        return;
    }
    b--;
    pthread_mutex_lock(&memory.lock);
    size = &memory.sizes[b->head.size];
    b->head.next = size->free;
    size->free = b;
    memory.held--;
    pthread_mutex_unlock(&memory.lock);
}

/* As much address space as the machine has memory; pages come when they are written. */
static bool reserve(void)
{
    size_t bytes = (size_t)sysconf(_SC_PHYS_PAGES) * (size_t)sysconf(_SC_PAGESIZE);
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                   -1, 0);

    if (p == MAP_FAILED)
        return false;
    memory.start = memory.unused = p;
    memory.end = memory.start + bytes;
    return true;
}

bool km_result_memory_begin(const char *library)
{
    bool gives;

    if (!memory.start && !reserve())
        return false;
    /* free first: a block that is given out must find its way back */
    if (!memory.diverted)
        memory.diverted = km_divert(library, "free", (km_function)give_back) &&
                          km_divert(library, "posix_memalign", (km_function)request);
    pthread_mutex_lock(&memory.lock);
    gives = memory.gives = memory.diverted;
    pthread_mutex_unlock(&memory.lock);
    return gives;
}

/* Gives the whole pages of blocks that nobody holds to the system, all but the lines before them.
 */
static void drop_pages(void)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);

    for (size_t i = 0; i < memory.size_count; i++)
        for (block *b = memory.sizes[i].free; b; b = b->head.next) {
            size_t lead = page - (uintptr_t)(b + 1) % page;
            if (memory.sizes[i].bytes >= lead + page)
                madvise((unsigned char *)(b + 1) + lead,
                        (memory.sizes[i].bytes - lead) / page * page, MADV_DONTNEED);
        }
}

void km_result_memory_end(void)
{
    pthread_mutex_lock(&memory.lock);
    memory.gives = false;
    if (memory.held > 0) {
        drop_pages();
    } else if (memory.start) {
        madvise(memory.start, (size_t)(memory.unused - memory.start), MADV_DONTNEED);
        memory.unused = memory.start;
        memory.size_count = 0;
    }
    pthread_mutex_unlock(&memory.lock);
}
