/* cli/net.h: the functions of the commands that need the network; kernmill-net alone has them. */
#ifndef KERNMILL_CLI_NET_H
#define KERNMILL_CLI_NET_H

#include "cli/command.h"
#include "lab/executor.h"
#include "pkg/system.h"

typedef struct {
    km_common common;
    const char *revision, *variant, *output, *lock, *index;
    long version;
    bool all;
} km_get_fields;

typedef struct {
    km_common common;
    bool check;
} km_lock_fields;

typedef struct {
    km_common common;
    km_system_options system;
    const char *author;
    long limit;
} km_search_fields;

typedef struct {
    km_common common;
    const char *transport, *message;
    bool dry_run, allow_untested, create_pr, private_repo;
} km_publish_fields;

typedef struct {
    km_common common;
    const char *dir;
    long limit;
    bool propose;
} km_papers_fields;

int km_run_get(void *fields, const char **args, size_t arg_count, km_err *err);
int km_run_publish(void *fields, const char **args, size_t arg_count, km_err *err);
int km_run_lock(void *fields, const char **args, size_t arg_count, km_err *err);
int km_run_net_version(void *fields, const char **args, size_t arg_count, km_err *err);

int km_run_lab_notify(void *fields, const char **args, size_t arg_count, km_err *err);
int km_run_search(void *fields, const char **args, size_t arg_count, km_err *err);
int km_run_papers(void *fields, const char **args, size_t arg_count, km_err *err);

/* What `lab run --executor hf-jobs` asks the Hub through. */
int km_jobs_connect(km_jobs_api *out, km_err *err);

#endif
