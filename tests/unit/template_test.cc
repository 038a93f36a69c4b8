#include "scratch.h"

#include <string>

extern "C" {
#include "core/template.h"
}

namespace
{

std::string expanded(const std::string &text)
{
    const km_template_value values[] = {
        { "name", "demo" }, { "empty", "" }, { "braces", "{{name}}" }, { nullptr, nullptr }
    };
    km_str out = KM_STR_INIT;
    km_err err = KM_ERR_INIT;
    int rc = km_template_expand(text.c_str(), "t.in", values, &out, &err);
    std::string s = rc == 0 ? std::string(out.data, out.length)
                            : "error: " + std::string(err.message);

    km_str_release(&out);
    return s;
}

} // namespace

// A key that stays in a file of `init` is the first thing a new author sees.
TEST(Template, Expands)
{
    EXPECT_EQ(expanded(""), "");
    EXPECT_EQ(expanded("no key { } } {"), "no key { } } {");
    EXPECT_EQ(expanded("a {{name}} b {{ name }} c"), "a demo b demo c");
    EXPECT_EQ(expanded("{{name}}{{empty}}{{name}}"), "demodemo");
    EXPECT_EQ(expanded("{{braces}}"), "{{name}}") << "a value is not expanded again";
    EXPECT_EQ(expanded("{ {name} }"), "{ {name} }");
}

// Half a template must not pass for a whole one.
TEST(Template, Errors)
{
    EXPECT_EQ(expanded("a {{nme}}"), "error: template 't.in': unknown key 'nme'");
    EXPECT_EQ(expanded("a {{}}"), "error: template 't.in': unknown key ''");
    EXPECT_EQ(expanded("a {{name"), "error: template 't.in': '{{' is never closed");
    EXPECT_EQ(expanded("a {{name}"), "error: template 't.in': '{{' is never closed");
    EXPECT_EQ(expanded("{{ {{name}}"), "error: template 't.in': unknown key ' {{name'");
}

// A template that is missing is an incomplete installation, not an empty file.
TEST(Template, FromAFile)
{
    const km_template_value values[] = { { "x", "1" }, { nullptr, nullptr } };
    Scratch dir;
    km_str out = KM_STR_INIT;
    km_err err = KM_ERR_INIT;

    EXPECT_EQ(km_template_expand_file(dir.put("t", "{{x}}{{x}}").c_str(), values, &out, &err), 0);
    EXPECT_STREQ(out.data, "11");
    EXPECT_EQ(km_template_expand_file((dir / "none").c_str(), values, &out, &err), KM_ENOENT);
    km_str_release(&out);
}
