extern "C" {
#include "net/wire.h"
}

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace
{

const std::string oid(40, 'a'), other(40, 'b'), sha(64, 'c');

std::string file(const std::string &path, const std::string &more = "")
{
    return R"({"type":"file","path":")" + path + R"(","oid":")" + oid + R"(","size":7)" + more +
           "}";
}

std::string lfs(const std::string &digest, int size = 7)
{
    return R"(,"lfs":{"oid":")" + digest + R"(","pointerSize":132,"size":)" + std::to_string(size) +
           "}";
}

class Wire : public testing::Test
{
  protected:
    ~Wire() override
    {
        km_arena_release(&a);
    }

    int tree(const std::vector<std::string> &texts, const char *sub = nullptr)
    {
        std::vector<json_t *> pages;
        for (const std::string &text : texts)
            pages.push_back(json_loads(text.c_str(), JSON_DECODE_ANY | JSON_ALLOW_NUL, nullptr));
        err = KM_ERR_INIT;
        int rc = km_hub_tree_read(&a, pages.data(), pages.size(), sub, "tree", &t, &err);
        for (json_t *page : pages)
            json_decref(page);
        return rc;
    }

    template <class T>
    int read(int (*reader)(km_arena *, const json_t *, const char *, T *, km_err *), T *out,
             const std::string &text)
    {
        json_t *doc = json_loads(text.c_str(), JSON_DECODE_ANY, nullptr);
        err = KM_ERR_INIT;
        int rc = reader(&a, doc, "answer", out, &err);
        json_decref(doc);
        return rc;
    }

    km_arena a = KM_ARENA_INIT;
    km_err err = KM_ERR_INIT;
    km_hub_tree t;
};

TEST_F(Wire, ATreeOfTwoPages)
{
    ASSERT_EQ(tree({ "[" + file("build/b.so", lfs(sha)) + "]",
                     "[" + file("build/B.so") + R"(,{"type":"directory","path":"build","oid":")" +
                         other + R"(","size":0}])" }),
              0)
        << err.message;
    ASSERT_EQ(t.count, 3u);
    EXPECT_STREQ(t.entries[0].path, "build");
    EXPECT_TRUE(t.entries[0].is_folder);
    const km_hub_entry *e = km_hub_tree_find(&t, "build/b.so");
    ASSERT_NE(e, nullptr);
    EXPECT_EQ(km_hub_entry_etag(e), sha);
    EXPECT_EQ(e->size_bytes, 7u);
    EXPECT_EQ(km_hub_entry_etag(km_hub_tree_find(&t, "build/B.so")), oid);
    EXPECT_EQ(km_hub_tree_find(&t, "build/c.so"), nullptr);
}

// A tree's names become paths on this machine.
TEST_F(Wire, HostileNamesAreRefused)
{
    const std::string longest(256, 'x'), deep = [] {
        std::string s = "a";
        for (int i = 0; i < 600; i++)
            s += "/a";
        return s;
    }();
    for (const std::string &path : std::vector<std::string>{ "",
                                                             ".",
                                                             "..",
                                                             "../x",
                                                             "a/../b",
                                                             "a/..",
                                                             "./a",
                                                             "a/./b",
                                                             "/etc/passwd",
                                                             "//a",
                                                             "a//b",
                                                             "a/",
                                                             "C:x",
                                                             "c:/x",
                                                             "a\\\\b",
                                                             "..\\\\x",
                                                             "\\u0000",
                                                             "a\\u0000b",
                                                             "a\\nb",
                                                             "a\\u0007",
                                                             "a\\u007f",
                                                             longest,
                                                             "a/" + longest,
                                                             deep,
                                                             ".git",
                                                             ".git/config",
                                                             "a/.GIT/hooks/x",
                                                             "...",
                                                             "a./b",
                                                             "a ",
                                                             "a\\u202eb" })
        EXPECT_LT(tree({ "[" + file(path) + "]" }), 0) << path;
    for (const std::string &path : std::vector<std::string>{ "a", "a.git", ".gitattributes",
                                                             "a/..b", "-rf", "a b", "\\u00e9" })
        EXPECT_EQ(tree({ "[" + file(path) + "]" }), 0) << path << ": " << err.message;
}

TEST_F(Wire, WhatContradictsItselfIsRefused)
{
    for (const std::vector<std::string> &pages : std::vector<std::vector<std::string>>{
             { "{}" },
             { "[" + file("a") + "," + file("a") + "]" },
             { "[" + file("a") + "]", "[" + file("a") + "]" },
             { "[" + file("a") + "," + file("a-b") + "," + file("a/b") + "]" },
             { "[" + file("a", lfs(sha, 8)) + "]" },
             { "[" + file("a", lfs(oid)) + "]" },
             { "[" + file("a", lfs(std::string(64, 'C'))) + "]" },
             { R"([{"type":"file","path":"a","oid":"xyz","size":1}])" },
             { R"([{"type":"file","path":"a","oid":")" + oid + R"("}])" },
             { R"([{"type":"file","path":"a","oid":")" + oid + R"(","size":-1}])" },
             { R"([{"type":"file","path":"a","oid":")" + oid +
               R"(","size":9223372036854775807}])" },
             { R"([{"type":"file","path":"a","oid":")" + oid + R"(","size":"1"}])" },
             { R"([{"type":"symlink","path":"a","oid":")" + oid + R"(","size":1}])" },
             { "[1]" } })
        EXPECT_EQ(tree(pages), KM_EFORMAT) << pages[0];
}

TEST_F(Wire, AFolderHoldsItsOwnFilesOnly)
{
    EXPECT_EQ(tree({ "[" + file("build/x/a") + "]" }, "build/x"), 0);
    for (const char *path : { "build/y/a", "build/x", "build/xx/a", "a" })
        EXPECT_EQ(tree({ "[" + file(path) + "]" }, "build/x"), KM_EFORMAT) << path;
}

TEST_F(Wire, Refs)
{
    km_hub_refs refs;
    const std::string list = R"([{"name":"main","ref":"refs/heads/main","targetCommit":")" + oid +
                             R"("},{"name":"v1","ref":"refs/heads/v1","targetCommit":")" + other +
                             R"("}])";

    ASSERT_EQ(
        read(km_hub_refs_read, &refs, R"({"branches":)" + list + R"(,"converts":[],"tags":[]})"), 0)
        << err.message;
    EXPECT_EQ(km_hub_refs_find(&refs, "v1"), other);
    EXPECT_EQ(km_hub_refs_find(&refs, "v2"), nullptr);
    for (const std::string &name : std::vector<std::string>{ "../x", "/x", "a..lock/../b", "x.lock",
                                                             "", std::string(300, 'x') })
        EXPECT_EQ(read(km_hub_refs_read, &refs,
                       R"({"tags":[],"branches":[{"name":")" + name + R"(","targetCommit":")" +
                           oid + R"("}]})"),
                  KM_EFORMAT)
            << name;
    EXPECT_EQ(read(km_hub_refs_read, &refs, R"({"tags":[]})"), KM_EFORMAT);
    EXPECT_EQ(read(km_hub_refs_read, &refs,
                   R"({"tags":[],"branches":[{"name":"v1","targetCommit":"../x"}]})"),
              KM_EFORMAT);
}

// A name in a list becomes part of an address: what is no repository's name makes the list wrong.
TEST_F(Wire, Kernels)
{
    km_hub_kernels k;

    ASSERT_EQ(read(km_hub_kernels_read, &k,
                   R"([{"id":"acme/relu","trustedPublisher":true,"likes":3},{"id":"b/c.d-e"}])"),
              0)
        << err.message;
    ASSERT_EQ(k.count, 2u);
    EXPECT_STREQ(k.items[0].id, "acme/relu");
    EXPECT_TRUE(k.items[0].trusted);
    EXPECT_STREQ(k.items[1].id, "b/c.d-e");
    EXPECT_FALSE(k.items[1].trusted);
    EXPECT_EQ(k.next, nullptr);
    EXPECT_EQ(read(km_hub_kernels_read, &k, "[]"), 0);
    EXPECT_EQ(k.count, 0u);
    for (const char *text : { "{}", "[1]", "[{}]", R"([{"id":3}])", R"([{"id":"relu"}])",
                              R"([{"id":"../relu"}])", R"([{"id":"acme/re lu"}])",
                              R"([{"id":"acme/relu/refs"}])", R"([{"id":"acme/relu?x"}])" }) {
        EXPECT_EQ(read(km_hub_kernels_read, &k, text), KM_EFORMAT) << text;
        EXPECT_STRNE(err.message, "") << text;
    }
}

// What somebody types is one value of the query, whatever is in it.
TEST_F(Wire, SearchAddress)
{
    km_wire w = { nullptr, "https://hub.example" };

    EXPECT_STREQ(km_wire_search_url(&w, &a, nullptr, nullptr, 24),
                 "https://hub.example/api/kernels?limit=24");
    EXPECT_STREQ(km_wire_search_url(&w, &a, "a&b=/ %", "x#y", 3),
                 "https://hub.example/api/kernels?limit=3&search=a%26b%3D%2F%20%25&author=x%23y");
}

TEST_F(Wire, Info)
{
    km_hub_info info;

    ASSERT_EQ(read(km_hub_info_read, &info,
                   R"({"id":"a/b","sha":")" + oid + R"(","siblings":[{"rfilename":"x/y"}]})"),
              0);
    EXPECT_EQ(info.commit, oid);
    ASSERT_EQ(info.file_count, 1u);
    EXPECT_STREQ(info.files[0], "x/y");
    EXPECT_EQ(read(km_hub_info_read, &info, R"({"sha":")" + oid + R"("})"), 0);
    EXPECT_EQ(read(km_hub_info_read, &info, R"({"sha":"main"})"), KM_EFORMAT);
    EXPECT_EQ(read(km_hub_info_read, &info,
                   R"({"sha":")" + oid + R"(","siblings":[{"rfilename":"../y"}]})"),
              KM_EFORMAT);
}

TEST_F(Wire, AFilesHead)
{
    km_hub_file f;
    const std::string linked = "\"" + sha + "\"", weak = "W/\"" + oid + "\"";
    auto head = [&](std::vector<km_http_header> headers, const char *location = nullptr) {
        km_http_answer answer = KM_HTTP_ANSWER_INIT;
        answer.status = location ? 302 : 200;
        answer.headers = headers.data();
        answer.header_count = headers.size();
        answer.location = location;
        return km_hub_file_read(&a, &answer, &f, &err);
    };

    ASSERT_EQ(head({ { "x-repo-commit", oid.c_str() },
                     { "etag", weak.c_str() },
                     { "content-length", "7" } }),
              0);
    EXPECT_EQ(f.etag, oid);
    EXPECT_EQ(f.size_bytes, 7u);
    ASSERT_EQ(head({ { "x-repo-commit", oid.c_str() },
                     { "etag", "\"cdn\"" },
                     { "x-linked-etag", linked.c_str() },
                     { "x-linked-size", "9" },
                     { "content-length", "0" } },
                   "https://cdn.example/x"),
              0);
    EXPECT_EQ(f.etag, sha);
    EXPECT_EQ(f.size_bytes, 9u);
    EXPECT_STREQ(f.location, "https://cdn.example/x");
    ASSERT_EQ(head({ { "x-repo-commit", oid.c_str() },
                     { "etag", linked.c_str() },
                     { "content-length", "0" } },
                   "https://cdn.example/x"),
              0);
    EXPECT_EQ(f.size_bytes, KM_HTTP_SIZE_UNKNOWN) << "that is the length of the redirect";
    EXPECT_LT(head({ { "etag", linked.c_str() } }), 0);
    EXPECT_LT(head({ { "x-repo-commit", "main" }, { "etag", linked.c_str() } }), 0);
    EXPECT_LT(head({ { "x-repo-commit", oid.c_str() } }), 0);
    EXPECT_LT(head({ { "x-repo-commit", oid.c_str() }, { "etag", "\"../../x\"" } }), 0);
    EXPECT_LT(head({ { "x-repo-commit", oid.c_str() },
                     { "etag", linked.c_str() },
                     { "content-length", "-7" } }),
              0);
}

TEST_F(Wire, RepositoryNames)
{
    km_repo r;

    for (const char *text : { "acme/relu", "a/b", "A_1.x/y-z" })
        EXPECT_EQ(km_repo_parse(&a, text, KM_REPO_KERNEL, &r, &err), 0) << text;
    for (const std::string &text :
         std::vector<std::string>{ "relu", "/relu", "acme/", "a/b/c", "../x", "a/..", ".a/b",
                                   "a/b.", "-a/b", "a/b-", "a--b/c", "a/b..c", "a/b.git", "a/b c",
                                   "a/b%2f", "a/b?c", "a/\xc3\xa9", "a/" + std::string(97, 'x') })
        EXPECT_EQ(km_repo_parse(&a, text.c_str(), KM_REPO_KERNEL, &r, &err), KM_EUSAGE) << text;
    ASSERT_EQ(km_repo_parse(&a, "acme/relu", KM_REPO_KERNEL, &r, &err), 0);
    EXPECT_STREQ(km_repo_folder(&a, &r), "kernels--acme--relu");
    r.type = KM_REPO_MODEL;
    EXPECT_STREQ(km_repo_folder(&a, &r), "models--acme--relu");
}

TEST_F(Wire, Addresses)
{
    km_wire w = { nullptr, "http://127.0.0.1:1" };
    km_repo kernel = { KM_REPO_KERNEL, "acme/relu" }, model = { KM_REPO_MODEL, "acme/relu" };

    EXPECT_STREQ(km_wire_api_url(&w, &a, &kernel, nullptr, nullptr, nullptr),
                 "http://127.0.0.1:1/api/kernels/acme/relu");
    EXPECT_STREQ(km_wire_api_url(&w, &a, &model, "tree", "refs/pr/3", "build/v 1"),
                 "http://127.0.0.1:1/api/models/acme/relu/tree/refs%2Fpr%2F3/build%2Fv%201");
    EXPECT_STREQ(km_wire_file_url(&w, &a, &kernel, "a+b", "build/x y#?%.so"),
                 "http://127.0.0.1:1/kernels/acme/relu/resolve/a%2Bb/build/x%20y%23%3F%25.so");
    EXPECT_STREQ(km_wire_file_url(&w, &a, &model, "main", "x"),
                 "http://127.0.0.1:1/acme/relu/resolve/main/x");
}

} // namespace
