#include <gtest/gtest.h>

#include <string>

extern "C" {
#include "pkg/arch.h"
}

namespace
{

/* "90a cubin, 75 ptx": what a list came to. */
std::string text(const km_archs &list)
{
    std::string s;

    for (size_t i = 0; i < list.count; i++) {
        char name[8];
        km_arch_name(&list.items[i], name);
        s += (i ? ", " : "") + std::string(name) + (list.items[i].cubin ? " cubin" : "") +
             (list.items[i].ptx ? " ptx" : "");
    }
    return s;
}

std::string parsed(const std::string &list)
{
    km_archs archs;
    km_err err = KM_ERR_INIT;

    return km_archs_parse(list.c_str(), &archs, &err) == 0 ? text(archs) : err.message;
}

// What is written is what is compiled, in an order that does not depend on how it was written.
TEST(Arch, Lists)
{
    EXPECT_EQ(parsed("90a"), "90a cubin");
    EXPECT_EQ(parsed("sm_90a,sm_80"), "80 cubin, 90a cubin");
    EXPECT_EQ(parsed("75+PTX"), "75 cubin ptx");
    EXPECT_EQ(parsed("75+ptx"), "75 cubin ptx");
    EXPECT_EQ(parsed("75ptx"), "75 ptx");
    EXPECT_EQ(parsed("75PTX"), "75 ptx");
    EXPECT_EQ(parsed("100f,100a,100"), "100 cubin, 100a cubin, 100f cubin");
    EXPECT_EQ(parsed("90,75ptx,90,75"), "75 cubin ptx, 90 cubin") << "twice the same is one";
    EXPECT_EQ(parsed("120,103,100,90a,89,86,80,75+PTX"), parsed(KM_ARCHS_DEFAULT));
    EXPECT_EQ(parsed("90a+PTX"), "90a cubin ptx");
}

// A slip must not build for another chip, or for none.
TEST(Arch, Refused)
{
    for (const char *bad : { "",         ",",
                             "90,",      ",90",
                             "90,,80",   "x",
                             "sm90",     "sm_",
                             "sm_sm_90", "a90",
                             "90b",      "90aa",
                             "90 a",     "90-PTX",
                             "90+",      "90+PTX+PTX",
                             "-90",      "+90",
                             " 90",      "90 ",
                             "80, 90",   "9.0",
                             "49",       "1000",
                             "90ptxptx", "99999999999999999999",
                             "0x5a",     "90a,8O" }) {
        km_archs archs;
        km_err err = KM_ERR_INIT;
        EXPECT_EQ(km_archs_parse(bad, &archs, &err), KM_EUSAGE) << "'" << bad << "'";
        EXPECT_NE(std::string(err.message).find("is no architecture"), std::string::npos) << bad;
        EXPECT_STREQ(err.hint, "write for example 80,90a,75+PTX");
    }
    EXPECT_EQ(parsed("80,banana,90"), "'banana' is no architecture") << "the entry, not the list";
}

// More than the table holds is an error, not an overrun.
TEST(Arch, TooMany)
{
    std::string list;
    km_archs archs;

    for (int i = 0; i < KM_ARCHS_MAX; i++)
        list += (i ? "," : "") + std::to_string(100 + i);
    EXPECT_EQ(km_archs_parse(list.c_str(), &archs, nullptr), 0);
    EXPECT_EQ(archs.count, (size_t)KM_ARCHS_MAX);
    EXPECT_EQ(km_archs_parse((list + ",100,131").c_str(), &archs, nullptr), 0);
    EXPECT_EQ(km_archs_parse((list + ",999").c_str(), &archs, nullptr), KM_ELIMIT);
}

// A manifest writes capabilities, 9.0a; 10.0 must not become sm_10.
TEST(Arch, FromCapabilities)
{
    const char *items[] = { "9.0a", "10.0f", "8.6", "7.5+PTX", "12.1", "9.0a+PTX", "8.0" };
    km_list list = { items, nullptr, std::size(items), true };
    km_archs archs;

    ASSERT_EQ(km_archs_from_capabilities(&list, &archs, nullptr), 0);
    EXPECT_EQ(text(archs),
              "75 cubin ptx, 80 cubin, 86 cubin, 90a cubin ptx, 100f cubin, 121 cubin");
}

} // namespace
