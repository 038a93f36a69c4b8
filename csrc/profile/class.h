/* profile/class.h: what kind of work an operator of torch does, by its name, as a table. */
#ifndef KERNMILL_PROFILE_CLASS_H
#define KERNMILL_PROFILE_CLASS_H

#include <stdbool.h>

typedef enum {
    KM_OP_SCOPE, /* only calls others: its own time is the call's */
    KM_OP_VIEW,  /* moves nothing */
    KM_OP_POINTWISE,
    KM_OP_COPY,      /* also to another dtype or layout */
    KM_OP_REDUCTION, /* also norms, softmax and losses, which are reductions with something around
                      */
    KM_OP_COMPUTE,   /* bound by arithmetic, or by indices */
    KM_OP_OTHER,     /* not known */
    KM_OP_CUSTOM     /* of somebody's library: what it does inside is not looked at */
} km_op_class;

extern const char *const km_op_class_names[];

/* The class of "aten::mul" and the like; an operator in place ("aten::mul_") is its plain one's. Of
 * what is no operator of torch's: KM_OP_CUSTOM with a namespace, else KM_OP_SCOPE. */
km_op_class km_op_class_of(const char *name);

/* Whether an operator of torch's is one of `names`, which stand between spaces without "aten::"; in
 * place or not. */
bool km_op_is(const char *name, const char *names);

/* Whether operators of this class move memory and do little else: those that make chains. */
bool km_op_moves_memory(km_op_class c);

/* Whether it may do nothing at all ("aten::to" of a tensor that has the dtype): it moves memory
 * only where it calls something that does. */
bool km_op_is_lazy(const char *name);

/* Whether its first tensor is written, and whether that one is also read. */
bool km_op_writes_first(const char *name);
bool km_op_reads_first(const char *name);

#endif
