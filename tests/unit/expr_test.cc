#include <gtest/gtest.h>

#include <string>

extern "C" {
#include "bench/expr.h"
}

namespace
{

const km_variable variables[] = { { "rows", 7 }, { "columns", 4096 }, { "size", 2 } };

/* The value as text, or the error and its hint. */
std::string value(const std::string &text)
{
    km_err err = KM_ERR_INIT;
    double v;
    char out[64];
    int rc = km_expr_value(text.c_str(), variables, 3, &v, &err);

    if (rc < 0)
        return std::string(rc == KM_EFORMAT ? "" : "other: ") + err.message +
               (*err.hint ? std::string("; ") + err.hint : "");
    snprintf(out, sizeof out, "%.17g", v);
    return out;
}

// As Python computes them: its precedence, its rounding, its associativity.
TEST(Expr, Values)
{
    const struct {
        const char *text, *value;
    } cases[] = {
        { "1", "1" },
        { " ( 2 * rows*columns + columns ) * size ", "122880" },
        { "2 + 3 * 4 - 5", "9" },
        { "2 ** 3 ** 2", "512" },
        { "-2 ** 2", "-4" },
        { "2 ** -1", "0.5" },
        { "7 // 2 * 2", "6" },
        { "-7 // 2", "-4" },
        { "-7 % 3", "2" },
        { "7 / 2 / 2", "1.75" },
        { "8 - 3 - 2", "3" },
        { "1.5e3 + .5", "1500.5" },
        { "--rows", "7" },
        { "2**53 - 1", "9007199254740991" },
    };

    for (const auto &c : cases)
        EXPECT_EQ(value(c.text), c.value) << c.text;
}

// A mistake has its column and what would be right.
TEST(Expr, Mistakes)
{
    const struct {
        const char *text, *message;
    } cases[] = {
        { "", "'', column 1: expected a number, a name or '('" },
        { "2 * row", "'2 * row', column 5: there is no 'row'; did you mean 'rows'?" },
        { "2 *", "'2 *', column 4: expected a number, a name or '('" },
        { "(2 + 3", "'(2 + 3', column 7: expected ')'" },
        { "2 3", "'2 3', column 3: expected an operator or the end" },
        { "2 * * 3", "'2 * * 3', column 5: expected a number, a name or '('" },
        { "0x10", "'0x10', column 1: expected a decimal number" },
        { "rows / 0", "'rows / 0' has no finite value" },
        { "rows % 0", "'rows % 0' has no finite value" },
        { "9 ** 9 ** 9", "'9 ** 9 ** 9' has no finite value" },
        { "nan", "'nan', column 1: there is no 'nan'" },
    };

    for (const auto &c : cases)
        EXPECT_EQ(value(c.text), c.message);
}

// Nesting is bounded, by parentheses, signs and powers alike.
TEST(Expr, Depth)
{
    EXPECT_EQ(value(std::string(60, '(') + "1" + std::string(60, ')')), "1");
    EXPECT_EQ(value(std::string(10000, '(')).rfind("other: ", 0), 0u);
    EXPECT_EQ(value(std::string(10000, '-') + "1").rfind("other: ", 0), 0u);
    std::string powers = "1";
    for (int i = 0; i < 10000; i++)
        powers += "**1";
    EXPECT_EQ(value(powers).rfind("other: ", 0), 0u);
}

} // namespace
