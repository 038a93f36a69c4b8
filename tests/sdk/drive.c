/* Calls every operator of everything.c through the mock, rightly, wrongly, and with each call into
 * torch failing in turn. Whatever happens, nothing may live afterwards. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mock_torch.h"

enum { SLOTS_MAX = 24, LONG_LIST = 100 };

int km_status(void);
const char *km_status_text(void);

/* An operator (for CUDA when its first argument is on a GPU), its arguments (a letter each, see
 * `make`), its results, and a part of the message of the call that fails (NULL: it succeeds). */
struct scenario {
    const char *name, *arguments, *text;
    int results;
    const char *message;
};

#define GIVEN "twlLiInNfFrbBcsSdDvViNR"
#define NONE  "t0l0i0n0f0rb0cs0d0v0i00"
#define EMPTY "twoOiIoOfFobBosSdDvViOO"

static const struct scenario scenarios[] = {
    { "types", GIVEN, "text", 1, NULL },
    { "types", NONE, "text", 1, NULL },
    { "types", EMPTY, "", 1, NULL },
    { "expect", GIVEN "i", "text", 1, "argument 'maybe_n': expected something else, got 5" },
    { "expect", NONE "i", "text", 1, "argument 'maybe_n': expected something else, got None" },
    { "defaults", "tifbsnr0nsDdvs", "text", 1, NULL },
    { "count", "tlnr", NULL, 1, NULL },
    { "count", "txnr", NULL, 1, "more than 32 tensors in one call" },
    { "count", "tlyr", NULL, 1, "more than 64 numbers in list arguments" },
    { "count", "txyr", NULL, 1, "more than 32 tensors in one call" },
    { "describe", "T", NULL, 1, NULL },
    { "describe_written", "t", NULL, 1, NULL },
    { "rows", "T", NULL, 1, NULL },
    { "row_sums", "T", NULL, 1, NULL },
    { "pair", "T", NULL, 2, NULL },
    { "eight", "t", NULL, 8, NULL },
    { "copied", "Td", NULL, 1, NULL },
    { "strided", "tnn", NULL, 1, NULL },
    { "turned", "T", NULL, 1, NULL },
    { "zeros", "T", NULL, 1, NULL },
    { "zeros", "g", NULL, 1, NULL },
    { "zeros.overload", "tb", NULL, 1, NULL },
    { "dense", "t", NULL, 1, NULL },
    { "dense", "T", NULL, 1, NULL },
    { "fill", "tf", NULL, 0, NULL },
    { "fill_each", "lf", NULL, 0, NULL },
    { "fill_maybe", "twf", NULL, 0, NULL },
    { "fill_maybe", "t0f", NULL, 0, NULL },
    { "clear", "T", NULL, 0, NULL },
    { "assign", "tT", NULL, 0, NULL },
    { "assign", "tg", NULL, 0, "'to' is on cpu and 'source' is on cuda:1" },
    { "count", "tGnr", NULL, 1, "'x' is on cpu and 'xs' is on cuda:1" },
    { "alias", "tT", NULL, 1, NULL },
    { "same", "t", NULL, 1, NULL },
    { "last", "l", NULL, 1, NULL },
    { "last", "a", NULL, 1, NULL },
    { "misuse", "twns", "both", 2, NULL },
    { "misuse", "twns", "result_index", 2, "sets result 2 of 2" },
    { "misuse", "twns", "tensor_twice", 2, "returns twice" },
    { "misuse", "twns", "result_twice", 2, "returns twice" },
    { "misuse", "twns", "foreign", 2, "not of this call" },
    { "misuse", "twns", "argument", 2, "returns 'x' itself" },
    { "misuse", "twns", "missing", 2, "without result 1" },
    { "misuse", "t0ns", "silent", 2, "without saying why" },
    { "misuse", "twns", "success_after_error", 2, "the first is kept" },
    { "misuse", "twns", "long_error", 2, "0000000000" },
    { "misuse", "twns", "tensor_as_int", 2, "another type" },
    { "misuse", "twns", "text_as_list", 2, "another type" },
    { "misuse", "twns", "text_as_tensor", 2, "another type" },
    { "misuse", "twns", "text_as_copy", 2, "another type" },
    { "misuse", "t0ns", "none_as_tensor", 2, "argument 1 is None" },
    { "misuse", "twns", "argument_index", 2, "asks for argument 4 of 4" },
    { "misuse", "twns", "checked_index", 2, "checks argument 7 of 4" },
    { "misuse", "twns", "no_dtype", 2, "an unsupported dtype" },
    { "misuse", "twns", "negative_stride", 2, "cannot have stride -1" },
    { "misuse", "twns", "huge", 2, "more than 2^63 elements" },
    { "misuse", "twns", "many_tensors", 2, "more than 32 tensors" },
    { "misuse", "twns", "copy_to_input", 2, "does not declare (a!)" },
    { "misuse", "twns", "copy_sizes", 2, "copying a tensor failed" },
    { "misuse", "twns", "rows_of_scalar", 2, "has no rows" },
};

static km_slot double_bits(double d)
{
    km_slot s;

    memcpy(&s, &d, sizeof s);
    return s;
}

static km_slot numbers(size_t count, bool floats)
{
    km_slot items[LONG_LIST];

    for (size_t i = 0; i < count; i++)
        items[i] = floats ? double_bits((double)i + 0.5) : (km_slot)i;
    return mock_new_list(items, count, false);
}

/* `count` tensors; the last on `device`. With `alike` they are handles of one tensor. */
static km_slot tensors(size_t count, int32_t device, bool alike)
{
    km_slot items[LONG_LIST];

    for (size_t i = 0; i < count; i++) {
        bool is_last = i + 1 == count;
        km_torch_tensor second;
        items[i] = mock_new_tensor(is_last ? device : MOCK_CPU, is_last ? device == MOCK_CUDA : -1,
                                   false);
        if (!alike || !i)
            continue;
        mock_delete_result(items[i]);
        aoti_torch_new_tensor_handle((km_torch_tensor)(uintptr_t)items[0], &second);
        items[i] = (km_slot)(uintptr_t)second;
    }
    return mock_new_list(items, count, true);
}

/* The slot of one letter; a capital of the letters i to v is the optional of it. */
static km_slot make(char letter, const char *text)
{
    switch (letter) {
    case 't': /* a dense tensor */
    case 'T': /* one that is not */
        return mock_new_tensor(MOCK_CPU, -1, letter == 'T');
    case 'g': /* on a GPU */
        return mock_new_tensor(MOCK_CUDA, 1, false);
    case 'w': /* an optional tensor */
        return mock_new_cell(make('t', text));
    case 'l':
        return tensors(2, MOCK_CPU, false);
    case 'G':
        return tensors(3, MOCK_CUDA, false);
    case 'a':
        return tensors(3, MOCK_CPU, true);
    case 'x':
        return tensors(40, MOCK_CPU, false);
    case 'o': /* an empty list */
        return numbers(0, false);
    case 'n':
        return numbers(3, false);
    case 'y':
        return numbers(70, false);
    case 'r':
        return numbers(2, true);
    case 'c': /* bools */
        return numbers(2, false);
    case 'i':
        return 5;
    case 'f':
        return double_bits(0.5);
    case 'b':
        return 1;
    case 's':
        return mock_new_string(text);
    case 'd':
        return MOCK_FLOAT32;
    case 'v':
        return (km_slot)MOCK_CUDA << 32 | 1;
    case '0':
        return 0;
    default:
        return mock_new_cell(make((char)(letter - 'A' + 'a'), text));
    }
}

static long alive(void)
{
    return mock_live.handles + mock_live.tensors + mock_live.lists + mock_live.strings +
           mock_live.cells + mock_live.guards;
}

static void wrong(const struct scenario *s, const char *what)
{
    fprintf(stderr, "%s(%s, %s): %s (message: '%s', failed function: %s, %ld live)\n", s->name,
            s->arguments, s->text ? s->text : "", what, mock_error, mock_failed ? mock_failed : "-",
            alive());
    exit(1);
}

/* The rows that make('T') holds are 0, 2, 4 and 1, 3, 5. */
static void check_sums(const struct scenario *s, km_slot result)
{
    int64_t n;
    const float *sums = mock_data(result, &n);

    if (n != 2 || sums[0] != 6 || sums[1] != 9)
        wrong(s, "other sums");
}

static int call(const struct scenario *s)
{
    km_slot slots[SLOTS_MAX];
    long fail_after = mock_fail_after;
    int n = (int)strlen(s->arguments), rc;

    mock_fail_after = -1; /* what torch makes is made */
    for (int i = 0; i < n; i++)
        slots[i] = make(s->arguments[i], s->text);
    mock_fail_after = fail_after;
    mock_failed = NULL;
    rc = mock_call(s->name, s->arguments[0] == 'g', slots, n, s->results);
    if (rc == 0 && strcmp(s->name, "row_sums") == 0)
        check_sums(s, slots[0]);
    for (int i = 0; rc == 0 && i < s->results; i++)
        mock_delete_result(slots[i]);
    if (alive())
        wrong(s, "something lives on");
    return rc;
}

/* Every call into torch fails once; the call of the operator then fails, and says why. */
static long fail_each(const struct scenario *s)
{
    const char *why =
#ifdef MOCK_NEWER
        " says no";
#else
        "failed: see torch's message on stderr";
#endif

    for (long at = 0;; at++) {
        int rc;
        mock_fail_after = at;
        rc = call(s);
        mock_fail_after = -1;
        if (!mock_failed)
            return at;
        if (strcmp(mock_failed, "torch_parallel_for") == 0) {
            if (rc != 0)
                wrong(s, "the calling thread could have done it all");
        } else if (rc == 0) {
            wrong(s, "succeeded in spite of a failure");
        } else if (!s->message && !strstr(mock_error, why)) {
            wrong(s, "the message does not say what failed");
        }
    }
}

int main(void)
{
    long calls = 0, failures = 0;

    if (km_status() != 0) {
        printf("%d %s\n", km_status(), km_status_text());
        return 2;
    }
    for (size_t i = 0; i < sizeof scenarios / sizeof scenarios[0]; i++, calls++) {
        const struct scenario *s = &scenarios[i];
        int rc = call(s);
        if (s->message ? rc == 0 || !strstr(mock_error, s->message) : rc != 0)
            wrong(s, s->message ? s->message : "did not succeed");
        failures += fail_each(s);
    }
    printf(
        "%ld calls, %ld failures; made %ld handles, %ld lists, %ld strings, %ld cells; live %ld\n",
        calls, failures, mock_made.handles, mock_made.lists, mock_made.strings, mock_made.cells,
        alive());
    return 0;
}
