/* hub/publish_internal.h: between the files of hub/publish*.c. */
#ifndef KERNMILL_HUB_PUBLISH_INTERNAL_H
#define KERNMILL_HUB_PUBLISH_INTERNAL_H

#include "hub/publish.h"

struct publish {
    km_arena *a;
    const km_endpoint *e;
    const km_packed *packed;
    const km_publish_request *request;
    km_publish_result *out;
    km_wire wire;
    /* what the hub had when it was asked last */
    bool repo_there, branch_there;
    char main[KM_OID_HEX_BYTES], head[KM_OID_HEX_BYTES]; /* "": none */
    long newest;                                         /* version; 0: none */
    km_hub_tree files, card;                             /* of the branch, of main */
};

/* Asks the hub. A branch that is not there has main's files, which it would begin with. */
int km_publish_look(struct publish *p, km_err *err);

/* From what was seen: out->changes, out->card, out->kept. */
int km_publish_compare(struct publish *p, km_err *err);

/* The branch as the official program changes it; `revision` gets `changes`. */
int km_publish_by_hf(struct publish *p, const char *revision, const km_changes *changes,
                     const char *message, km_err *err);

/* Downloads what was published, from the commit alone. Errors: KM_EFORMAT for what is not as it is
 * here. */
int km_publish_read_again(struct publish *p, const char *commit, km_err *err);

#endif
