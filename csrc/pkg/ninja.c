#include "pkg/ninja.h"

#include <string.h>

#include "core/file.h"
#include "core/path.h"
#include "core/str.h"
#include "pkg/compile_flags.h"

/* A word of a command as the shell reads it, with Ninja's own `$` doubled. */
static void add_word(km_str *s, const char *word)
{
    static const char safe[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                               "_-+=./,:@%^";
    bool quote = !*word || word[strspn(word, safe)];

    if (quote)
        km_str_add_char(s, '\'');
    for (; *word; word++) {
        if (*word == '\'')
            km_str_add(s, "'\\''");
        else if (*word == '$')
            km_str_add(s, "$$");
        else
            km_str_add_char(s, *word);
    }
    if (quote)
        km_str_add_char(s, '\'');
}

static void add_flag(km_str *s, const char *prefix, const char *value)
{
    km_str word = KM_STR_INIT;

    km_str_add(&word, prefix);
    km_str_add(&word, value);
    km_str_add_char(s, ' ');
    add_word(s, word.data);
    km_str_release(&word);
}

/* A path as an input or output of a build line. */
static void add_path(km_str *s, const char *path)
{
    for (; *path; path++) {
        if (*path == '$' || *path == ' ' || *path == ':')
            km_str_add_char(s, '$');
        km_str_add_char(s, *path);
    }
}

/* A variable's value, which no shell reads. */
static void add_value(km_str *s, const char *value)
{
    for (; *value; value++) {
        if (*value == '$')
            km_str_add_char(s, '$');
        km_str_add_char(s, *value);
    }
}

static void add_output(km_str *s, const km_plan *p, const char *name)
{
    add_path(s, p->work_dir);
    km_str_add_char(s, '/');
    add_path(s, name);
}

/* The object of a source: work_dir/obj/src/cpu/rmsnorm_cpu.o; the binding, which is compiled for
 * each flavor, in obj/binding-cpu/ and obj/binding-cuda/. */
static void add_object(km_str *s, const km_plan *p, const km_plan_source *c, const char *flavor)
{
    size_t n = strlen(c->source) - strlen(km_path_ext(c->source));
    km_str name = KM_STR_INIT;

    km_str_printf(&name, "obj/%s%s/%.*s.o", c->section ? "src" : "binding-",
                  c->section ? "" : flavor, (int)n, c->source);
    add_output(s, p, name.data);
    km_str_release(&name);
}

static void add_compiler(km_str *s, const km_plan *p)
{
    add_word(s, p->cc);
    km_str_add(s, p->cc_options);
}

static void write_rules(km_str *s, const km_plan *p)
{
    km_str_add(s, "# Written by kernmill from build.toml; changes are lost.\n"
                  "ninja_required_version = 1.8\n");
    km_str_add(s, "builddir = ");
    add_path(s, p->work_dir);
    km_str_add(s, "\n\nrule cc\n  command = ");
    add_compiler(s, p);
    km_str_printf(s, " -MMD -MF $out.d %s", p->o.debug ? KM_CFLAGS_DEBUG : KM_CFLAGS_RELEASE);
    km_str_add(s, " -ffile-prefix-map=");
    add_word(s, p->m->dir);
    km_str_add(s, "=. -ffile-prefix-map=");
    add_word(s, p->home.include);
    km_str_add(s, "=sdk $flags -c $in -o $out\n  depfile = $out.d\n  deps = gcc\n"
                  "  description = compile $what\n");
    km_str_add(s, "\nrule stub\n  command = ");
    add_compiler(s, p);
    km_str_add(s, " -shared -fPIC -nostdlib -w $flags $in -o $out\n"
                  "  description = stand in for $what\n");
    km_str_add(s, "\nrule link\n  command = ");
    add_compiler(s, p);
    km_str_printf(s, " %s%s%s -o $out $in -L", KM_LDFLAGS, p->is_cross ? "" : KM_LDFLAGS_GCC,
                  p->o.debug ? "" : " -s");
    add_word(s, p->work_dir);
    km_str_add(s, "/stub -Wl,--no-as-needed -ltorch_cpu -Wl,--as-needed $libraries -lm\n"
                  "  description = link $what\n");
    if (!p->device_count)
        return;
    km_str_add(s, "\nrule device\n  command = ");
    add_word(s, p->home.program);
    km_str_printf(s, " device-compile%s%s --arch $arch -o $out -M $out.d -- $flags $in\n",
                  p->o.use_nvcc ? " --nvcc" : "", p->o.debug ? " --debug" : "");
    km_str_add(s, "  depfile = $out.d\n  deps = gcc\n  description = compile $in for $arch\n"
                  "  restat = 1\n"); /* an image that comes out the same is left alone */
    /* fatbinary splits its options at commas: it is told names without a folder */
    km_str_add(s, "\nrule join\n  command = cd ");
    add_word(s, p->work_dir);
    km_str_add(s, "/image && ");
    add_word(s, p->toolkit.fatbinary);
    km_str_add(s, " -64 --create=$fatbin --compress-all --compress-mode=speed $images\n"
                  "  description = join the images of $what\n");
}

static void write_compile(km_str *s, const km_plan *p, const km_plan_source *c, const char *flavor,
                          const char *definitions)
{
    const km_list *include = c->section ? &c->section->include : &p->m->torch_include;
    const km_list *flags = c->section ? &c->section->cxx_flags : &p->m->torch_cxx_flags;

    km_str_add(s, "\nbuild ");
    add_object(s, p, c, flavor);
    km_str_add(s, ": cc ");
    add_path(s, c->source);
    km_str_add(s, "\n  flags =");
    for (size_t i = 0; i < include->count; i++)
        add_flag(s, "-I", include->items[i]);
    add_flag(s, "-I", p->home.include);
    km_str_add(s, definitions);
    for (size_t i = 0; i < flags->count; i++)
        add_flag(s, "", flags->items[i]);
    km_str_add(s, "\n  what = ");
    add_value(s, c->source);
    km_str_printf(s, "%s%s\n", *flavor ? " for " : "", flavor);
}

static void write_sources(km_str *s, const km_plan *p)
{
    for (size_t i = 0; i < p->source_count; i++) {
        const km_plan_source *c = &p->sources[i];
        if (c->section) {
            write_compile(s, p, c, "",
                          c->section->backend == KM_BACKEND_CUDA ? " -DCUDA_KERNEL"
                                                                 : " -DCPU_KERNEL");
            continue;
        }
        if (p->products[KM_FLAVOR_CPU].built)
            write_compile(s, p, c, "cpu", " -DCPU_KERNEL");
        if (p->products[KM_FLAVOR_CUDA].built)
            write_compile(s, p, c, "cuda", " -DCPU_KERNEL -DCUDA_KERNEL");
    }
}

static void add_image_name(km_str *s, const km_plan *p, const km_plan_device *d,
                           const km_arch *arch, bool ptx)
{
    char name[8];

    km_arch_name(arch, name);
    add_output(s, p, "image/");
    km_str_printf(s, "%s.%s.%s", d->stem, name, ptx ? "ptx" : "cubin");
}

static void write_image(km_str *s, const km_plan *p, const km_plan_device *d, const km_arch *arch,
                        bool ptx)
{
    char name[8];

    km_arch_name(arch, name);
    km_str_add(s, "\nbuild ");
    add_image_name(s, p, d, arch, ptx);
    km_str_add(s, ": device ");
    add_path(s, d->source);
    km_str_add(s, " | ");
    add_path(s, p->home.program);
    km_str_printf(s, "\n  arch = %s%s\n  flags =", name, ptx ? "ptx" : "");
    for (size_t i = 0; i < d->section->include.count; i++)
        add_flag(s, "-I", d->section->include.items[i]);
    add_flag(s, "-I", p->home.include);
    for (size_t i = 0; i < d->section->cuda_flags.count; i++)
        add_flag(s, "--flag=", d->section->cuda_flags.items[i]);
    km_str_add_char(s, '\n');
}

/* Images one by one, joined to a fatbin, embedded in an object. PTX comes first, as nvcc has it. */
static void write_device(km_str *s, const km_plan *p, const km_plan_device *d)
{
    km_str inputs = KM_STR_INIT, images = KM_STR_INIT;

    for (int ptx = 1; ptx >= 0; ptx--)
        for (size_t i = 0; i < d->archs.count; i++) {
            const km_arch *arch = &d->archs.items[i];
            char name[8];
            if (!(ptx ? arch->ptx : arch->cubin))
                continue;
            write_image(s, p, d, arch, ptx);
            km_arch_name(arch, name);
            km_str_add_char(&inputs, ' ');
            add_image_name(&inputs, p, d, arch, ptx);
            km_str_printf(&images, " --image3=kind=%s,sm=%s,file=%s.%s.%s", ptx ? "ptx" : "elf",
                          name, d->stem, name, ptx ? "ptx" : "cubin");
        }
    km_str_add(s, "\nbuild ");
    add_output(s, p, "image/");
    km_str_printf(s, "%s.fatbin: join%s\n  fatbin = %s.fatbin\n  images =%s\n  what = ", d->stem,
                  inputs.data, d->stem, images.data);
    add_value(s, d->source);
    km_str_add(s, "\nbuild ");
    add_output(s, p, "obj/fatbin_");
    km_str_printf(s, "%s.o: cc ", d->stem);
    add_output(s, p, "gen/fatbin_");
    km_str_printf(s, "%s.c | ", d->stem);
    add_output(s, p, "image/");
    km_str_printf(s, "%s.fatbin\n  what = the images of ", d->stem);
    add_value(s, d->source);
    km_str_add_char(s, '\n');
    if (s->failed == 0)
        s->failed = inputs.failed ? inputs.failed : images.failed;
    km_str_release(&inputs);
    km_str_release(&images);
}

static void add_objects(km_str *s, const km_plan *p, km_flavor flavor)
{
    for (size_t i = 0; i < p->source_count; i++) {
        const km_plan_source *c = &p->sources[i];
        if (c->section && c->section->backend == KM_BACKEND_CUDA && flavor == KM_FLAVOR_CPU)
            continue;
        km_str_add_char(s, ' ');
        add_object(s, p, c, km_flavor_names[flavor]);
    }
    for (size_t i = 0; i < p->device_count && flavor == KM_FLAVOR_CUDA; i++) {
        km_str_add_char(s, ' ');
        add_output(s, p, "obj/fatbin_");
        km_str_printf(s, "%s.o", p->devices[i].stem);
    }
}

static void write_link(km_str *s, const km_plan *p, km_flavor flavor, const char *kind,
                       const char *library)
{
    km_str_add(s, "\nbuild ");
    add_output(s, p, "obj/namespace_");
    km_str_printf(s, "%s_%s.o: cc ", kind, km_flavor_names[flavor]);
    add_output(s, p, "gen/namespace_");
    km_str_printf(s, "%s_%s.c\n  what = the namespace for %s, %s\n", kind, km_flavor_names[flavor],
                  kind, km_flavor_names[flavor]);
    km_str_add(s, "\nbuild ");
    add_path(s, library);
    km_str_add(s, ": link");
    add_objects(s, p, flavor);
    km_str_add_char(s, ' ');
    add_output(s, p, "obj/namespace_");
    km_str_printf(s, "%s_%s.o | ", kind, km_flavor_names[flavor]);
    add_output(s, p, "stub/libtorch_cpu.so");
    km_str_add_char(s, ' ');
    add_output(s, p, "stub/libdl.so");
    km_str_printf(s, "\n  libraries =%s\n  what = the library for %s, %s\n",
                  flavor == KM_FLAVOR_CUDA ? " -ldl" : "", kind, km_flavor_names[flavor]);
    km_str_add(s, "default ");
    add_path(s, library);
    km_str_add_char(s, '\n');
}

static void write_stubs(km_str *s, const km_plan *p)
{
    km_str_add(s, "\nbuild ");
    add_output(s, p, "stub/libtorch_cpu.so");
    km_str_add(s, ": stub ");
    add_output(s, p, "gen/stub_torch.c");
    km_str_add(s, "\n  what = libtorch_cpu.so\n  flags = -Wl,-soname,libtorch_cpu.so\n\nbuild ");
    add_output(s, p, "stub/libdl.so");
    km_str_add(s, ": stub ");
    add_output(s, p, "gen/stub_dl.c");
    km_str_add(s, " | ");
    add_output(s, p, "gen/stub_dl.map");
    km_str_add(
        s, "\n  what = libdl.so.2\n  flags = -Wl,-soname,libdl.so.2 -Xlinker --version-script=");
    add_word(s, p->work_dir);
    km_str_add(s, "/gen/stub_dl.map\n");
}

int km_ninja_write(const km_plan *p, km_err *err)
{
    km_arena a = KM_ARENA_INIT;
    km_str s = KM_STR_INIT;
    const char *path = km_path_join(&a, p->work_dir, "build.ninja");
    int rc;

    write_rules(&s, p);
    write_stubs(&s, p);
    write_sources(&s, p);
    for (size_t i = 0; i < p->device_count; i++)
        write_device(&s, p, &p->devices[i]);
    for (int f = 0; f < KM_FLAVOR_COUNT; f++)
        if (p->products[f].built) {
            write_link(&s, p, (km_flavor)f, "hub", p->products[f].hub_library);
            write_link(&s, p, (km_flavor)f, "wheel", p->products[f].wheel_library);
        }
    rc = path ? km_str_check(&s, err) : km_fail_nomem(err);
    if (rc == 0)
        rc = km_file_update(path, s.data, s.length, 0666, err);
    km_str_release(&s);
    km_arena_release(&a);
    return rc;
}
