/* cli/cmd_get.c: kernmill get WHAT: a kernel from the Hub, a folder or an index of wheels. */
#include "cli/net.h"

static const km_opt options[] = {
    KM_OPT_TEXT("revision", 'r', "R", km_get_fields, revision, "a branch, a tag or a commit"),
    KM_OPT_INT("version", 'v', "N", km_get_fields, version, "the branch v<N>"),
    KM_OPT_TEXT("variant", 0, "V", km_get_fields, variant,
                "a folder of build/ (default: the one that this machine would use)"),
    KM_OPT_FLAG("all", 0, km_get_fields, all, "all variants"),
    KM_OPT_TEXT("lock", 0, "FILE", km_get_fields, lock,
                "the commit and the digests of this kernels.lock"),
    KM_OPT_TEXT("index", 0, "PLACE", km_get_fields, index,
                "a wheel instead, of this index: a folder or an address"),
    KM_OPT_TEXT("output", 'o', "DIR", km_get_fields, output,
                "copy it into a new folder; a wheel into this one"),
    KM_OPT_END,
};

extern const km_command km_cmd_get;
const km_command km_cmd_get = {
    .name = "get",
    .help = "fetch a kernel from the Hub, a folder or an index of wheels",
    .args = "OWNER/NAME | ./FOLDER | PROJECT",
    .more =
        "Without --revision and --version it is the newest version, without --variant the variant\n"
        "that the `kernels` client would load here. The files are in the cache that\n"
        "Python's clients use, every digest checked; the path is printed. HF_ENDPOINT, HF_TOKEN,\n"
        "HF_HOME, HF_HUB_CACHE and HF_HUB_OFFLINE mean what they mean there. With --lock nothing\n"
        "is made when a file is not the lock's, as `kernmill lock` wrote it; exit code 1.\n"
        "A name that begins with '.' or '/' is a packed kernel's folder, whose variant is chosen\n"
        "and checked likewise. With --index it is a project's wheel: of the newest release in the\n"
        "index, and those of one GPU or for CPUs that `kernmill pack --index` puts beside it, the\n"
        "one that fits this machine.",
    .options = options,
    .fields_size = sizeof(km_get_fields),
    .run = KM_NET_RUN(km_run_get),
};
