extern "C" {
#include "net/endpoint.h"
}

#include <cstdlib>
#include <map>
#include <string>

#include "scratch.h"

namespace
{

class Endpoint : public testing::Test
{
  protected:
    Endpoint()
    {
        for (const char *name :
             { "HF_ENDPOINT", "HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "KERNELS_CACHE",
               "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN",
               "HF_TOKEN_PATH", "XDG_CACHE_HOME", "HF_HUB_DISABLE_IMPLICIT_TOKEN", "HOME" })
            set(name, nullptr);
        set("HOME", dir.root.c_str());
    }
    ~Endpoint() override
    {
        for (const auto &[name, value] : before)
            value.second ? setenv(name.c_str(), value.first.c_str(), 1) : unsetenv(name.c_str());
        km_arena_release(&a);
    }

    void set(const char *name, const char *value)
    {
        const char *old = getenv(name);
        before.try_emplace(name, old ? old : "", old != nullptr);
        value ? setenv(name, value, 1) : unsetenv(name);
    }

    const km_endpoint &find()
    {
        EXPECT_EQ(km_endpoint_find(&a, &e, &err), 0) << err.message;
        return e;
    }

    std::map<std::string, std::pair<std::string, bool>> before;
    Scratch dir;
    km_arena a = KM_ARENA_INIT;
    km_endpoint e;
    km_err err = KM_ERR_INIT;
};

TEST_F(Endpoint, FoldersFollowThePythonClient)
{
    EXPECT_EQ(std::string(find().cache), dir / ".cache/huggingface/hub");
    set("XDG_CACHE_HOME", "/x");
    EXPECT_STREQ(find().cache, "/x/huggingface/hub");
    set("HF_HOME", "~/hf/$SUB/${SUB}/$KERNMILL_NOT_SET");
    set("SUB", "s");
    EXPECT_EQ(std::string(find().cache), dir / "hf/s/s/$KERNMILL_NOT_SET/hub");
    set("HUGGINGFACE_HUB_CACHE", "/old");
    EXPECT_STREQ(find().cache, "/old");
    set("HF_HUB_CACHE", "/cache");
    EXPECT_STREQ(find().cache, "/cache");
    set("KERNELS_CACHE", "/kernels");
    EXPECT_STREQ(find().cache, "/kernels");
    set("KERNELS_CACHE", "");
    EXPECT_STREQ(find().cache, "/cache");
}

TEST_F(Endpoint, TheHubHasNoSlashAtItsEnd)
{
    EXPECT_EQ(std::string(find().url).rfind("https://", 0), 0u);
    set("HF_ENDPOINT", "http://127.0.0.1:8000/prefix//");
    EXPECT_STREQ(find().url, "http://127.0.0.1:8000/prefix");
}

TEST_F(Endpoint, Offline)
{
    for (const char *value : { "1", "ON", "yes", "True" }) {
        set("HF_HUB_OFFLINE", value);
        EXPECT_TRUE(find().offline) << value;
    }
    for (const char *value : { "0", "", "off", "2" }) {
        set("HF_HUB_OFFLINE", value);
        EXPECT_FALSE(find().offline) << value;
    }
    set("HF_HUB_OFFLINE", nullptr);
    set("TRANSFORMERS_OFFLINE", "1");
    EXPECT_TRUE(find().offline);
    set("HF_HUB_OFFLINE", "0");
    EXPECT_FALSE(find().offline);
}

TEST_F(Endpoint, TheVariablesTokenComesBeforeTheFiles)
{
    EXPECT_EQ(find().token, nullptr);
    dir.put(".cache/huggingface/token", " hf_file\r\n");
    EXPECT_STREQ(find().token, "hf_file");
    set("HUGGING_FACE_HUB_TOKEN", "hf_old");
    EXPECT_STREQ(find().token, "hf_old");
    set("HF_TOKEN", " hf_\nnew ");
    EXPECT_STREQ(find().token, "hf_new");
    set("HF_TOKEN", "  ");
    EXPECT_STREQ(find().token, "hf_file");
    set("HF_TOKEN_PATH", dir.put("other", "hf_other").c_str());
    EXPECT_STREQ(find().token, "hf_other");
    set("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1");
    EXPECT_EQ(find().token, nullptr);
}

// A folder, or a file that is no token: said, rather than asked for nothing with 401 as the answer.
TEST_F(Endpoint, ATokenFileThatIsNone)
{
    set("HF_TOKEN_PATH", dir.root.c_str());
    EXPECT_LT(km_endpoint_find(&a, &e, &err), 0);
    set("HF_TOKEN_PATH", dir.put("big", std::string(1 << 20, 'x')).c_str());
    EXPECT_EQ(km_endpoint_find(&a, &e, &err), KM_ELIMIT);
}

} // namespace
