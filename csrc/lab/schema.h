/* lab/schema.h: the tables of a lab's store. Their meaning stands beside each in schema.c, which is
 * the format's description. */
#ifndef KERNMILL_LAB_SCHEMA_H
#define KERNMILL_LAB_SCHEMA_H

#include "lab/db.h"

extern const km_db_schema km_lab_schema;

#endif
