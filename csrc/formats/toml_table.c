/* The tree of a TOML document while it grows.
 *
 * Entries of a table stand in file order, in an array; over them lies an AA tree (Andersson 1993),
 * a balanced search tree whose links are positions in that array plus one, 0 for none. A hash table
 * would need a secret to keep a hostile document from making it slow; this needs nothing.
 *
 * Who may add to a table (a header's path may always go through it, except where it is inline):
 *
 *   made by            [it]     [it.sub]   it.key = in another table's pairs
 *   path of a header   once     yes        yes; from then on as made by a dotted key
 *   header             no       yes        no
 *   dotted key         no       yes        yes
 *   braces             no       no         no
 *
 * (The first row's last column is what TOML 1.0 leaves open and TOML 1.1's wording decides.)
 */
#include <string.h>

#include "formats/toml_internal.h"

km_toml *km_toml_new(km_toml_parser *p, km_toml_kind kind, km_toml_place place, unsigned depth)
{
    km_toml *v;

    p->code = 0;
    if (depth > KM_TOML_DEPTH_MAX)
        p->code = KM_TOML_LIMIT(p, place, "more than %d tables and arrays inside each other",
                                KM_TOML_DEPTH_MAX);
    else if (++p->value_count > KM_TOML_VALUES_MAX)
        p->code = KM_TOML_LIMIT(p, place, "more than %d values, tables and arrays in one document",
                                KM_TOML_VALUES_MAX);
    if (p->code < 0)
        return NULL;
    v = km_arena_alloc(p->arena, sizeof *v);
    if (!v) {
        p->code = km_fail_nomem(p->err);
        return NULL;
    }
    v->kind = kind;
    v->line = place.line;
    v->column = place.column;
    return v;
}

int km_toml_push(km_toml_parser *p, km_toml *array, km_toml *item)
{
    km_toml_array *r = &array->array;

    if (r->count == r->room) {
        size_t room = r->room ? 2 * r->room : 4;
        km_toml **items = km_arena_array(p->arena, room, sizeof(km_toml *));
        if (!items)
            return km_fail_nomem(p->err);
        if (r->count)
            memcpy(items, r->items, r->count * sizeof(km_toml *));
        r->items = items;
        r->room = room;
    }
    r->items[r->count++] = item;
    return 0;
}

/* --- the index --- */

/* Any total order will do; lengths first is the cheapest. */
static int compare(const char *key, size_t length, const km_toml_entry *e)
{
    if (length != e->key_length)
        return length < e->key_length ? -1 : 1;
    return memcmp(key, e->key, length);
}

static km_toml_entry *find(const km_toml *table, const char *key, size_t length)
{
    uint32_t at = table->table.top;

    while (at) {
        km_toml_entry *e = &table->table.entries[at - 1];
        int order = compare(key, length, e);
        if (order == 0)
            return e;
        at = order < 0 ? e->left : e->right;
    }
    return NULL;
}

/* A left child on its parent's level: turn right. Returns the subtree's new top. */
static uint32_t skew(km_toml_entry *entries, uint32_t top)
{
    km_toml_entry *e = &entries[top - 1];
    uint32_t left = e->left;

    if (!left || entries[left - 1].level != e->level)
        return top;
    e->left = entries[left - 1].right;
    entries[left - 1].right = top;
    return left;
}

/* Two right children on one level: turn left, and lift the middle one. */
static uint32_t split(km_toml_entry *entries, uint32_t top)
{
    km_toml_entry *e = &entries[top - 1];
    uint32_t right = e->right;
    uint32_t second = right ? entries[right - 1].right : 0;

    if (!second || entries[second - 1].level != e->level)
        return top;
    e->right = entries[right - 1].left;
    entries[right - 1].left = top;
    entries[right - 1].level++;
    return right;
}

/* Recurses as deep as the tree: at most twice the logarithm of its size. */
static uint32_t insert(km_toml_entry *entries, uint32_t top, uint32_t added)
{
    km_toml_entry *e, *n = &entries[added - 1];

    if (!top)
        return added;
    e = &entries[top - 1];
    if (compare(n->key, n->key_length, e) < 0)
        e->left = insert(entries, e->left, added);
    else
        e->right = insert(entries, e->right, added);
    return split(entries, skew(entries, top));
}

static int add(km_toml_parser *p, km_toml *table, const km_toml_part *part, km_toml *value)
{
    km_toml_table *t = &table->table;

    if (t->count == t->room) {
        uint32_t room = t->room ? 2 * t->room : 2;
        km_toml_entry *entries = km_arena_array(p->arena, room, sizeof *entries);
        if (!entries)
            return km_fail_nomem(p->err);
        if (t->count)
            memcpy(entries, t->entries, t->count * sizeof *entries);
        t->entries = entries;
        t->room = room;
    }
    t->entries[t->count++] = (km_toml_entry){ .key = part->text.data,
                                              .key_length = part->text.length,
                                              .key_line = part->place.line,
                                              .key_column = part->place.column,
                                              .value = value,
                                              .level = 1 };
    t->top = insert(t->entries, t->top, (uint32_t)t->count);
    return 0;
}

static km_toml *add_new(km_toml_parser *p, km_toml *table, const km_toml_part *part,
                        km_toml_kind kind, unsigned depth)
{
    km_toml *v = km_toml_new(p, kind, part->place, depth);

    if (!v)
        return NULL;
    p->code = add(p, table, part, v);
    return p->code < 0 ? NULL : v;
}

const km_toml *km_toml_get(const km_toml *table, const char *key)
{
    const km_toml_entry *e = NULL;

    if (table && table->kind == KM_TOML_TABLE)
        e = find(table, key, strlen(key));
    return e ? e->value : NULL;
}

/* --- the rules --- */

static void set_maker(km_toml *table, km_toml_origin origin, km_toml_place place)
{
    table->table.origin = origin;
    table->line = place.line;
    table->column = place.column;
}

static const char *article(const km_toml *v)
{
    return v->kind == KM_TOML_INT || v->kind == KM_TOML_ARRAY ? "an" : "a";
}

/* Why nothing can be put under the name `key->parts[i]`, which stands for the value `v`. */
static int fail_closed(km_toml_parser *p, const km_toml_key *key, size_t i, const km_toml *v)
{
    char shown[KM_TOML_SHOWN_BYTES];
    km_toml_place place = key->parts[i].place;
    const char *name = km_toml_show_key(shown, key, i + 1);

    if (v->kind == KM_TOML_TABLE && v->table.origin == KM_TOML_BY_BRACES)
        return KM_TOML_FAIL(p, place, "'%s' is an inline table (line %u): nothing can be added",
                            name, v->line);
    if (v->kind == KM_TOML_TABLE)
        return KM_TOML_FAIL(p, place, "table '%s' has a header at line %u: a dotted key cannot add",
                            name, v->line);
    if (v->kind == KM_TOML_ARRAY && v->array.of_tables)
        return KM_TOML_FAIL(p, place,
                            "'%s' is an array of tables (line %u): a dotted key cannot add", name,
                            v->line);
    return KM_TOML_FAIL(p, place, "'%s' is %s %s (line %u): it holds no keys", name, article(v),
                        km_toml_kind_name(v->kind), v->line);
}

/* One step down the path of a header: to the table of that name (made when missing), or to the last
 * item of the array of tables. */
static int enter(km_toml_parser *p, const km_toml_key *key, size_t i)
{
    const km_toml_part *part = &key->parts[i];
    km_toml_entry *e = find(p->section, part->text.data, part->text.length);
    km_toml *v = e ? e->value : NULL;

    p->section_depth++;
    if (!v)
        v = add_new(p, p->section, part, KM_TOML_TABLE, p->section_depth);
    if (!v)
        return p->code;
    if (v->kind == KM_TOML_ARRAY && v->array.of_tables) {
        v = v->array.items[v->array.count - 1];
        p->section_depth++;
    }
    if (v->kind != KM_TOML_TABLE || v->table.origin == KM_TOML_BY_BRACES)
        return fail_closed(p, key, i, v);
    p->section = v;
    return 0;
}

/* Makes the section the table that holds the header's last name; *found is what that name stands
 * for already, or NULL. */
static int enter_parent(km_toml_parser *p, const km_toml_key *key, km_toml **found)
{
    const km_toml_part *last = &key->parts[key->count - 1];
    km_toml_entry *e;

    p->section = p->root;
    p->section_depth = 0;
    for (size_t i = 0; i + 1 < key->count; i++) {
        int rc = enter(p, key, i);
        if (rc < 0)
            return rc;
    }
    e = find(p->section, last->text.data, last->text.length);
    *found = e ? e->value : NULL;
    p->section_depth++;
    return 0;
}

/* Why [key] cannot define what the name stands for already. */
static int fail_redefined(km_toml_parser *p, const km_toml_key *key, const km_toml *v)
{
    char shown[KM_TOML_SHOWN_BYTES];
    km_toml_place place = key->parts[key->count - 1].place;
    const char *name = km_toml_show_key(shown, key, key->count), *how = "";

    if (v->kind == KM_TOML_ARRAY && v->array.of_tables)
        return KM_TOML_FAIL(p, place, "'%s' is an array of tables (line %u); expected [[%s]]", name,
                            v->line, name);
    if (v->kind != KM_TOML_TABLE)
        return KM_TOML_FAIL(p, place, "'%s' is %s %s (line %u); it cannot become a table", name,
                            article(v), km_toml_kind_name(v->kind), v->line);
    if (v->table.origin == KM_TOML_BY_DOTTED)
        how = " by a dotted key";
    if (v->table.origin == KM_TOML_BY_BRACES)
        how = " as an inline table";
    return KM_TOML_FAIL(p, place, "table '%s' is defined twice; first%s at line %u", name, how,
                        v->line);
}

int km_toml_open_table(km_toml_parser *p, const km_toml_key *key)
{
    const km_toml_part *last = &key->parts[key->count - 1];
    km_toml *v;
    int rc = enter_parent(p, key, &v);

    if (rc < 0)
        return rc;
    if (v && (v->kind != KM_TOML_TABLE || v->table.origin != KM_TOML_BY_PATH))
        return fail_redefined(p, key, v);
    if (!v)
        v = add_new(p, p->section, last, KM_TOML_TABLE, p->section_depth);
    if (!v)
        return p->code;
    set_maker(v, KM_TOML_BY_HEADER, last->place);
    p->section = v;
    return 0;
}

/* The array of tables of that name in the section, or NULL, with p->code. */
static km_toml *find_array(km_toml_parser *p, const km_toml_key *key, km_toml *v)
{
    char shown[KM_TOML_SHOWN_BYTES];
    const km_toml_part *last = &key->parts[key->count - 1];

    if (v && v->kind == KM_TOML_ARRAY && v->array.of_tables)
        return v;
    if (v) {
        p->code = KM_TOML_FAIL(p, last->place, "'%s' is %s %s (line %u): [[...]] cannot add to it",
                               km_toml_show_key(shown, key, key->count), article(v),
                               km_toml_kind_name(v->kind), v->line);
        return NULL;
    }
    v = add_new(p, p->section, last, KM_TOML_ARRAY, p->section_depth);
    if (v)
        v->array.of_tables = true;
    return v;
}

int km_toml_open_item(km_toml_parser *p, const km_toml_key *key)
{
    km_toml_place place = key->parts[key->count - 1].place;
    km_toml *array, *item = NULL;
    int rc = enter_parent(p, key, &array);

    if (rc < 0)
        return rc;
    array = find_array(p, key, array);
    if (array)
        item = km_toml_new(p, KM_TOML_TABLE, place, ++p->section_depth);
    if (!item)
        return p->code;
    set_maker(item, KM_TOML_BY_HEADER, place);
    p->section = item;
    return km_toml_push(p, array, item);
}

/* One step down a dotted key. */
static int descend(km_toml_parser *p, km_toml **table, const km_toml_key *key, size_t i,
                   unsigned depth)
{
    const km_toml_part *part = &key->parts[i];
    km_toml_entry *e = find(*table, part->text.data, part->text.length);
    km_toml *v = e ? e->value : add_new(p, *table, part, KM_TOML_TABLE, depth);

    if (!v)
        return p->code;
    if (v->kind != KM_TOML_TABLE || v->table.origin == KM_TOML_BY_HEADER ||
        v->table.origin == KM_TOML_BY_BRACES)
        return fail_closed(p, key, i, v);
    if (v->table.origin != KM_TOML_BY_DOTTED)
        set_maker(v, KM_TOML_BY_DOTTED, part->place);
    *table = v;
    return 0;
}

km_toml *km_toml_claim(km_toml_parser *p, km_toml *table, const km_toml_key *key, unsigned *depth)
{
    const km_toml_part *last = &key->parts[key->count - 1];
    char shown[KM_TOML_SHOWN_BYTES];
    const km_toml_entry *e;

    for (size_t i = 0; i + 1 < key->count; i++) {
        p->code = descend(p, &table, key, i, ++*depth);
        if (p->code < 0)
            return NULL;
    }
    e = find(table, last->text.data, last->text.length);
    if (!e)
        return add_new(p, table, last, KM_TOML_STRING, ++*depth);
    p->code = KM_TOML_FAIL(p, last->place, "key '%s' is set twice; first at line %u",
                           km_toml_show_key(shown, key, key->count), e->key_line);
    return NULL;
}
