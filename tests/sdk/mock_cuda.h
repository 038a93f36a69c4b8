/* Mocks of libcuda.so.1 and of the one function of libtorch_cuda.so, which write down each call.
 * Two libraries of one source, since launch.h finds both by name. */
#ifndef KERNMILL_TESTS_MOCK_CUDA_H
#define KERNMILL_TESTS_MOCK_CUDA_H

enum { MOCK_DEVICES = 3, MOCK_LOG_BYTES = 1 << 16 };

/* In libcuda.so.1, under the name mock_cuda. */
struct mock_cuda {
    char log[MOCK_LOG_BYTES]; /* "retain(1) setctx load ..." */
    const char *failing;      /* the function that fails with `code`, or NULL */
    int code;
    int quiet; /* no log: many threads */
    int loads; /* of images */
    int launches;
    int sm[MOCK_DEVICES];
};

/* In libcuda.so.1, for mock_set_device. */
void mock_make_current(int device);

/* In the program. */
int mock_current_device(void);
void mock_log(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
