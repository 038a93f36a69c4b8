/* Launches through the mocks and compares what reached the driver. The argument says which part:
 * "order", "errors", "threads", or "message", which prints the message of one launch. */
#include <dlfcn.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mock_cuda.h"
#include "mock_torch.h"

enum { THREADS = 8, ROUNDS = 200 };

static struct mock_cuda *cuda;

void mock_log(const char *format, ...)
{
    size_t used;
    va_list ap;

    if (!cuda || cuda->quiet)
        return;
    used = strlen(cuda->log);
    va_start(ap, format);
    vsnprintf(cuda->log + used, sizeof cuda->log - used, format, ap);
    va_end(ap);
    used = strlen(cuda->log);
    snprintf(cuda->log + used, sizeof cuda->log - used, " ");
}

/* On a GPU, or on the CPU for device -1; the arguments of an operator that has less are not read.
 */
static int call(const char *name, int device, int blocks, int shared_bytes, int cluster)
{
    bool on_gpu = device >= 0;
    km_slot slots[] = { mock_new_tensor(on_gpu ? MOCK_CUDA : MOCK_CPU, device, false),
                        (km_slot)blocks, (km_slot)shared_bytes, (km_slot)cluster, 1 };

    return mock_call(name, on_gpu, slots, strcmp(name, "launch") == 0 ? 5 : 1, 0);
}

static void expect(const char *what, const char *got, const char *expected)
{
    if (strcmp(got, expected) == 0)
        return;
    fprintf(stderr, "%s:\n     got %s\nexpected %s\n", what, got, expected);
    exit(1);
}

static void expect_log(const char *what, int rc, const char *expected)
{
    expect(what, rc ? mock_error : "", "");
    expect(what, cuda->log, expected);
    cuda->log[0] = '\0';
}

/* Images once, functions once a device, captures relaxed around them and restored, attributes where
 * they are needed, a context where there is none. */
static void order(void)
{
    expect_log("first launch", call("launch", 1, 7, 0, 0),
               "ask(75,1) ask(76,1) ask(16,1) ask(97,1) getctx capture(2) "
               "load(the first ) kernel(plain) function capture(0) stream(1) "
               "launch(7x2x3,256,0 ) ");
    expect_log("second launch", call("launch", 1, 8, 0, 0),
               "getctx stream(1) launch(8x2x3,256,0 ) ");
    expect_log("another function", call("launch", 1, 1, 49152, 0),
               "getctx capture(2) kernel(large) function capture(0) stream(1) "
               "launch(1x2x3,256,49152 ) ");
    expect_log("another image", call("launch_other", 1, 0, 0, 0),
               "getctx capture(2) load(the second) kernel(other) function capture(0) stream(1) "
               "launch(1x1x1,32,0 ) ");
    call("device", 1, 0, 0, 0);
    expect("device", mock_error,
           "launches::device: device 1: sm_80, 101 multiprocessors, 200001 bytes");
    expect("device", cuda->log, "");
}

static void *on_device_0(void *unused)
{
    (void)unused;
    expect_log("another device", call("launch", 0, 1, 60000, 16),
               "ask(75,0) ask(76,0) ask(16,0) ask(97,0) getctx retain(0) setctx capture(2) "
               "kernel(large) function set(8,60000,0) set(14,1,0) capture(0) stream(0) "
               "launch(1x2x3,256,60000 cluster=16x1x1 6=1 ) ");
    expect_log("again", call("launch", 0, 1, 60000, 16),
               "getctx stream(0) launch(1x2x3,256,60000 cluster=16x1x1 6=1 ) ");
    expect_log(
        "more shared memory", call("launch", 0, 1, 70000, 1),
        "getctx capture(2) kernel(large) function set(8,70000,0) set(14,1,0) capture(0) stream(0) "
        "launch(1x2x3,256,70000 cluster=1x1x1 6=1 ) ");
    expect_log("less again", call("launch", 0, 1, 60000, 1),
               "getctx stream(0) launch(1x2x3,256,60000 cluster=1x1x1 6=1 ) ");
    return NULL;
}

/* A device that had a smaller limit takes the larger one, as far as it can. */
static void on_device_1(void)
{
    expect_log("the larger limit", call("launch", 1, 1, 50000, 0),
               "getctx capture(2) kernel(large) function set(8,70000,1) capture(0) stream(1) "
               "launch(1x2x3,256,50000 ) ");
    expect_log("all of a device", call("launch", 1, 1, 200001, 0),
               "getctx capture(2) kernel(large) function set(8,200001,1) capture(0) stream(1) "
               "launch(1x2x3,256,200001 ) ");
}

/* The limit of device 1 is above what device 0 has. */
static void *on_device_0_again(void *unused)
{
    (void)unused;
    expect_log("the limit of another device", call("launch", 0, 1, 60000, 1),
               "getctx retain(0) setctx capture(2) kernel(large) function set(8,200000,0) "
               "set(14,1,0) capture(0) stream(0) launch(1x2x3,256,60000 cluster=1x1x1 6=1 ) ");
    return NULL;
}

/* In a thread that has no context. */
static void in_new_thread(void *(*part)(void *))
{
    pthread_t thread;

    pthread_create(&thread, NULL, part, NULL);
    pthread_join(thread, NULL);
}

/* Each function of the driver fails once at the first launch: a message, a capture mode as before,
 * no lock left, and a later launch that works. */
static void errors(void)
{
    static const struct {
        const char *function;
        int code;
        const char *message;
    } failures[] = {
        { "cuDeviceGetAttribute", 1,
          "asking about 'the device' failed: MOCK_ERROR (as asked for)" },
        { "cuCtxGetCurrent", 1,
          "taking the context of 'the device' failed: MOCK_ERROR (as asked for)" },
        { "cuCtxSetCurrent", 1,
          "taking the context of 'the device' failed: MOCK_ERROR (as asked for)" },
        { "cuDevicePrimaryCtxRetain", 1,
          "taking the context of 'the device' failed: MOCK_ERROR (as asked for)" },
        { "cuLibraryLoadData", 209,
          "the library holds no image that an sm_90 device runs; build it with --arch" },
        { "cuLibraryLoadData", 2,
          "loading the image of 'large' failed: MOCK_ERROR (as asked for)" },
        { "cuLibraryGetKernel", 500,
          "preparing the kernel 'large' failed: MOCK_ERROR (as asked for)" },
        { "cuKernelGetFunction", 209,
          "the library holds no image that an sm_90 device runs; build it with --arch" },
        { "cuKernelSetAttribute", 1,
          "preparing the kernel 'large' failed: MOCK_ERROR (as asked for)" },
        { "cuLaunchKernelEx", 701, "launching 'large' failed: MOCK_ERROR (as asked for)" },
    };

    for (size_t i = 0; i < sizeof failures / sizeof failures[0]; i++) {
        char expected[256];
        int rc;
        cuda->failing = failures[i].function;
        cuda->code = failures[i].code;
        rc = call("launch", 0, 1, 60000, 0);
        cuda->failing = NULL;
        snprintf(expected, sizeof expected, "launches::launch: %s", failures[i].message);
        expect(failures[i].function, rc ? mock_error : "success", expected);
    }
    call("launch", 0, 1, 200001, 0);
    expect("too much shared memory", mock_error,
           "launches::launch: the kernel 'large' asks for 200001 bytes of shared memory; a block "
           "on this sm_90 device can have 200000");
    call("launch", 1, 1, 0, 2);
    expect("clusters on an old device", mock_error,
           "launches::launch: the kernel 'large' asks for clusters, and this is an sm_80 device; "
           "sm_90 and newer have them");
    call("launch", -1, 1, 0, 0);
    expect("on the CPU", mock_error, "launches::launch: the call has no CUDA device below 64");
    cuda->log[0] = '\0';
    expect_log("after all errors", call("launch", 0, 1, 60000, 0),
               "getctx stream(0) launch(1x2x3,256,60000 6=1 ) ");
}

static void *launch_often(void *number)
{
    int i = *(const int *)number;

    for (int round = 0; round < ROUNDS; round++)
        if (call("launch", (i + round / 20) % MOCK_DEVICES, 1, round % 2 ? 60000 : 0, 0) != 0)
            return strdup(mock_error);
    return NULL;
}

/* First launches by many threads, on several devices; under ThreadSanitizer, too. */
static void threads(void)
{
    pthread_t workers[THREADS];
    int numbers[THREADS];

    cuda->quiet = 1;
    for (int i = 0; i < THREADS; i++) {
        numbers[i] = i;
        pthread_create(&workers[i], NULL, launch_often, &numbers[i]);
    }
    for (int i = 0; i < THREADS; i++) {
        void *message;
        pthread_join(workers[i], &message);
        expect("a thread", message ? message : "", "");
    }
    if (cuda->loads != 1 || cuda->launches != THREADS * ROUNDS) {
        fprintf(stderr, "%d loads, %d launches\n", cuda->loads, cuda->launches);
        exit(1);
    }
}

int main(int argc, char **argv)
{
    const char *part = argc > 1 ? argv[1] : "";
    void *libcuda = dlopen("libcuda.so.1", RTLD_NOW),
         *state = libcuda ? dlsym(libcuda, "mock_cuda") : NULL;

    cuda = state;
    if (libcuda) {
        void *set_device = dlsym(libcuda, "mock_make_current");
        memcpy(&mock_set_device, &set_device, sizeof set_device);
    }
    if (strcmp(part, "message") == 0) {
        if (argc > 2) /* a library that torch has loaded */
            dlopen(argv[2], RTLD_NOW);
        printf("%d %s\n", call("launch", 0, 1, 0, 0), mock_error);
        return 0;
    }
    if (!cuda || !dlopen("libtorch_cuda.so", RTLD_NOW))
        return 2;
    if (strcmp(part, "order") == 0) {
        order();
        in_new_thread(on_device_0);
        on_device_1();
        in_new_thread(on_device_0_again);
    } else if (strcmp(part, "errors") == 0) {
        errors();
    } else {
        threads();
    }
    if (mock_live.handles || mock_live.guards)
        return 3;
    printf("%s: %ld calls\n", part, mock_made.guards);
    return 0;
}
