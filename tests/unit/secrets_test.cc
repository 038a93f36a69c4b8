#include "scratch.h"

#include <string>

extern "C" {
#include "hub/secrets.h"
}

namespace
{

const std::string token = "hf_" + std::string(34, 'Q');

/* "kind:line", or "" when nothing was found. */
std::string found(const std::string &path, const char *own = nullptr)
{
    km_secret s;

    EXPECT_EQ(km_secret_find(path.c_str(), own, &s, nullptr), 0);
    return s.kind ? std::string(s.kind) + ":" + std::to_string(s.line) : "";
}

} // namespace

// A file is read in pieces: a secret that lies across two of them, or ends the file, is one all the
// same.
TEST(Secrets, AtEveryPlaceAroundTheEndOfAPiece)
{
    Scratch dir;

    for (size_t piece : { (256u << 10) - 4096, 256u << 10, 2 * ((256u << 10) - 4096) })
        for (size_t before = 0; before <= token.size() + 1; before++) {
            std::string text(piece - before, '.');
            text[0] = '\n';
            EXPECT_EQ(found(dir.put("a", text + token)), "a Hugging Face token:2") << text.size();
            EXPECT_EQ(found(dir.put("a", text + token + std::string(300000, '.'))),
                      "a Hugging Face token:2")
                << text.size();
        }
}

// The own token may be longer than any shape.
TEST(Secrets, TheOwnTokenIsFound)
{
    Scratch dir;
    std::string own(4000, 'z');

    EXPECT_EQ(found(dir.put("a", std::string(260000, '.') + "\n\n" + own + "."), own.c_str()),
              "your own token:3");
    EXPECT_EQ(found(dir.put("a", std::string(260000, '.') + own.substr(1) + "."), own.c_str()), "");
}

TEST(Secrets, WhatOnlyBeginsLikeOneIsNone)
{
    Scratch dir;

    EXPECT_EQ(found(dir.put("a", "hf_short, ghp_, -----BEGIN CERTIFICATE-----\n")), "");
    EXPECT_EQ(found(dir.put("a", "")), "");
    EXPECT_EQ(found(dir.put("a", "\n\n-----BEGIN RSA PRIVATE KEY-----\n")), "a private key:3");
}
