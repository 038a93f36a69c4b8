#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

extern "C" {
#include "core/opt.h"
}

namespace
{

struct Fields {
    bool debug;
    bool verbose;
    long jobs;
    const char *arch;
    const char *output;
};

const km_opt options[] = {
    KM_OPT_FLAG("debug", 'g', Fields, debug, "add line information"),
    KM_OPT_FLAG("verbose", 0, Fields, verbose, "print every command"),
    KM_OPT_INT("jobs", 'j', "N", Fields, jobs, "how many compilers at once"),
    KM_OPT_TEXT("arch", 'a', "LIST", Fields, arch, "GPU architectures"),
    KM_OPT_TEXT("output", 0, "DIR", Fields, output, "where to write"),
    KM_OPT_END,
};

/* A command line, parsed. */
struct Parsed {
    explicit Parsed(std::vector<std::string> given) : words(std::move(given))
    {
        std::vector<const char *> positional;

        argv.push_back(const_cast<char *>("build"));
        for (std::string &word : words)
            argv.push_back(word.data());
        positional.resize(argv.size() + 1);
        rc = km_opt_parse(options, &fields, (int)argv.size(), argv.data(), positional.data(),
                          &count, &err);
        for (size_t i = 0; rc == 0 && i < count; i++)
            args.push_back(positional[i]);
    }

    std::vector<std::string> words;
    std::vector<char *> argv;
    Fields fields = {};
    km_err err = KM_ERR_INIT;
    size_t count = 0;
    std::vector<std::string> args;
    int rc;
};

// Every spelling that the header promises, in any order, with positional arguments between.
TEST(Opt, EverySpelling)
{
    Parsed p({ "one", "--jobs=3", "-g", "two", "--arch", "90a,80", "--verbose", "three" });

    ASSERT_EQ(p.rc, 0) << p.err.message;
    EXPECT_TRUE(p.fields.debug && p.fields.verbose);
    EXPECT_EQ(p.fields.jobs, 3);
    EXPECT_STREQ(p.fields.arch, "90a,80");
    EXPECT_EQ(p.args, (std::vector<std::string>{ "one", "two", "three" }));
    EXPECT_EQ(Parsed({ "-j7" }).fields.jobs, 7);
    EXPECT_EQ(Parsed({ "-j", "7" }).fields.jobs, 7);
    EXPECT_EQ(Parsed({ "--jobs", "-7" }).fields.jobs, -7);
    EXPECT_STREQ(Parsed({ "-a80" }).fields.arch, "80");
    EXPECT_STREQ(Parsed({ "--arch=" }).fields.arch, "");
    EXPECT_STREQ(Parsed({ "--arch=a=b" }).fields.arch, "a=b");
    EXPECT_STREQ(Parsed({ "--arch", "80", "--arch", "90" }).fields.arch, "90") << "the last counts";
}

// Files may be called "-x" or "--": after "--" nothing is an option; "-" alone is never one.
TEST(Opt, EndOfOptions)
{
    Parsed p({ "-g", "--", "--jobs", "-x", "--", "a" });

    ASSERT_EQ(p.rc, 0);
    EXPECT_EQ(p.args, (std::vector<std::string>{ "--jobs", "-x", "--", "a" }));
    EXPECT_EQ(p.fields.jobs, 0);
    EXPECT_EQ(Parsed({ "-", "a" }).args, (std::vector<std::string>{ "-", "a" }));
    EXPECT_EQ(Parsed({ "" }).args, (std::vector<std::string>{ "" }));
    EXPECT_EQ(Parsed({}).count, 0u);
}

// The message is all the help that a wrong command line gets.
TEST(Opt, SaysWhatIsWrong)
{
    const std::string longest(300, 'x');
    const struct {
        std::vector<std::string> words;
        std::string message, hint;
    } cases[] = {
        { { "--job", "3" }, "unknown option '--job'", "did you mean '--jobs'?" },
        { { "--job=3" }, "unknown option '--job'", "did you mean '--jobs'?" },
        { { "--vebrose" }, "unknown option '--vebrose'", "did you mean '--verbose'?" },
        { { "--nothing-like-it" }, "unknown option '--nothing-like-it'", "" },
        { { "-x" }, "unknown option '-x'", "" },
        { { "--=3" }, "unknown option '--'", "" },
        { { "--" + longest }, "unknown option '--" + std::string(63, 'x') + "'", "" },
        { { "--debug=yes" }, "option '--debug' takes no value", "" },
        { { "--debug=" }, "option '--debug' takes no value", "" },
        { { "-gx" }, "unknown option '-x'", "" },
        { { "-ga" }, "option '--arch' wants a value LIST", "" },
        { { "--arch" }, "option '--arch' wants a value LIST", "" },
        { { "-a" }, "option '--arch' wants a value LIST", "" },
        { { "--jobs", "three" }, "option '--jobs' wants a whole number, not 'three'", "" },
        { { "--jobs=" }, "option '--jobs' wants a whole number, not ''", "" },
        { { "--jobs=3x" }, "option '--jobs' wants a whole number, not '3x'", "" },
        { { "--jobs=0x10" }, "option '--jobs' wants a whole number, not '0x10'", "" },
        { { "-j1.5" }, "option '--jobs' wants a whole number, not '1.5'", "" },
        { { "--jobs=99999999999999999999" },
          "option '--jobs' wants a whole number, not '99999999999999999999'",
          "" },
    };

    for (const auto &c : cases) {
        Parsed p(c.words);
        EXPECT_EQ(p.rc, KM_EUSAGE) << c.words[0];
        EXPECT_EQ(std::string(p.err.message), c.message);
        EXPECT_EQ(std::string(p.err.hint), c.hint) << c.words[0];
    }
}

// A prefix of an option is not the option: today's unique prefix is tomorrow's ambiguity.
TEST(Opt, NoAbbreviations)
{
    EXPECT_EQ(Parsed({ "--deb" }).rc, KM_EUSAGE);
    EXPECT_EQ(Parsed({ "--debugging" }).rc, KM_EUSAGE);
    EXPECT_EQ(Parsed({ "-" + std::string("\xc3\xa9") }).rc, KM_EUSAGE);
}

} // namespace
