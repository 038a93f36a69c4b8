/* cli/cmd_publish.c: kernmill publish FOLDER OWNER/NAME: a packed kernel to the Hub. */
#include "cli/net.h"

static const km_opt options[] = {
    KM_OPT_FLAG("dry-run", 'n', km_publish_fields, dry_run, "say what would change, and stop"),
    KM_OPT_FLAG("allow-untested", 0, km_publish_fields, allow_untested,
                "also files that no test ran on; the card must say so"),
    KM_OPT_FLAG("private", 0, km_publish_fields, private_repo,
                "a repository that is made is private"),
    KM_OPT_FLAG("create-pr", 0, km_publish_fields, create_pr,
                "propose the commit instead of making it"),
    KM_OPT_TEXT("message", 'm', "TEXT", km_publish_fields, message, "the commit's first line"),
    KM_OPT_TEXT("transport", 0, "HOW", km_publish_fields, transport,
                "hf: the official program (the public Hub's default); http: our own"),
    KM_OPT_END,
};

extern const km_command km_cmd_publish;
const km_command km_cmd_publish = {
    .name = "publish",
    .help = "upload a packed kernel to the Hub: tested files, one commit, read again",
    .args = "FOLDER OWNER/NAME",
    .more =
        "FOLDER is what `kernmill pack` wrote: dist/<name>. Refused is what `check` has an error\n"
        "for, what was not tested, a card without a licence, a secret in a file, a version older\n"
        "than the newest there. All variants go to the branch v<version> in one commit, the card\n"
        "to main as well; what is there already is not sent again, and all of it is downloaded\n"
        "afterwards and compared. Run it again after an interruption. HF_ENDPOINT and HF_TOKEN\n"
        "mean what they mean to Python's clients.",
    .options = options,
    .fields_size = sizeof(km_publish_fields),
    .run = KM_NET_RUN(km_run_publish),
};
