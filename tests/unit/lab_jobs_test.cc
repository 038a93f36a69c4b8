// What a Hugging Face Job's log is believed, and how lab.toml's words become the API's.
#include <gtest/gtest.h>

#include <fstream>
#include <string>

#include "scratch.h"

extern "C" {
#include "core/base64.h"
#include "lab/jobs.h"
#include "lab/slurm.h"
}

namespace
{

std::string Decoded(const char *text, bool *good)
{
    km_str out = KM_STR_INIT;
    *good = km_base64_read(&out, text);
    std::string bytes(out.data, out.length);
    km_str_release(&out);
    return bytes;
}

TEST(Base64, Read)
{
    bool good;
    EXPECT_EQ(Decoded("", &good), "");
    EXPECT_TRUE(good);
    EXPECT_EQ(Decoded("Zm9v\nYm\r\n E=", &good), "fooba");
    EXPECT_TRUE(good);
    EXPECT_EQ(Decoded("Zg==", &good), "f");
    EXPECT_TRUE(good);
    for (const char *wrong : { "Z", "Zm9", "Zg==Zm9v", "Zm9v!bad", "====", "Z===" }) {
        Decoded(wrong, &good);
        EXPECT_FALSE(good) << wrong;
    }
}

std::string Event(const std::string &line)
{
    return "data: {\"data\":\"" + line + "\",\"timestamp\":\"2026-01-01T00:00:00Z\"}\n\n";
}

class Log : public ::testing::Test
{
  protected:
    void SetUp() override
    {
        snprintf(run.dir, sizeof run.dir, "%s", (scratch / "").c_str());
        scratch.put("nonce", nonce);
    }

    int Read(const std::string &events)
    {
        remove((scratch / "result.json").c_str());
        return km_jobs_read_log(&run, events.c_str(), &code, nullptr);
    }

    std::string File(const char *name)
    {
        std::ifstream in(scratch / name);
        return std::string(std::istreambuf_iterator<char>(in), {});
    }

    Scratch scratch;
    km_run run = {};
    int code = -1;
    const std::string nonce = "0123456789abcdef0123456789abcdef";
    const std::string whole = Event("===== Job started at now =====") + ": keep-alive\n\n" +
                              Event("step 1") + Event(nonce + " eyJtZXRy") +
                              Event(nonce + " aWMiOiA3fQ==") + Event(nonce + " end 0 13");
};

TEST_F(Log, IsTakenApart)
{
    EXPECT_EQ(Read(whole), 1);
    EXPECT_EQ(code, 0);
    EXPECT_EQ(File("result.json"), "{\"metric\": 7}");
    EXPECT_EQ(File("output.log"), "step 1\n");
}

// A log cut at any byte is never a whole one, and leaves no result.
TEST_F(Log, CutAtEveryByte)
{
    const size_t needed = whole.rfind('}') + 1;
    for (size_t n = 0; n < needed; n++) {
        ASSERT_EQ(Read(whole.substr(0, n)), 0) << n;
        ASSERT_EQ(File("result.json"), "") << n;
    }
}

// A line of the result that went missing, another nonce, and a second end change nothing for the
// better.
TEST_F(Log, IsNotForged)
{
    const std::string other(32, '0');
    EXPECT_EQ(Read(Event(nonce + " eyJtZXRy") + Event(nonce + " end 0 13")), 0);
    EXPECT_EQ(Read(Event(other + " eyJtZXRyaWMiOiA3fQ==") + Event(other + " end 0 13")), 0);
    EXPECT_EQ(File("output.log"), other + " eyJtZXRyaWMiOiA3fQ==\n" + other + " end 0 13\n");
    EXPECT_EQ(Read(whole + Event(nonce + " end 5 0")), 1);
    EXPECT_EQ(code, 0);
    EXPECT_EQ(Read(Event(nonce + " end 3 0")), 1);
    EXPECT_EQ(code, 3);
    EXPECT_EQ(File("result.json"), "");
}

TEST(Jobs, Slug)
{
    char out[49];
    km_jobs_slug("Hypothesis 3, evaluate 1!", out);
    EXPECT_STREQ(out, "hypothesis_3_evaluate_1");
    km_jobs_slug("--", out);
    EXPECT_STREQ(out, "");
    km_jobs_slug(std::string(100, 'X').c_str(), out);
    EXPECT_EQ(std::string(out), std::string(48, 'x'));
}

TEST(Jobs, Time)
{
    EXPECT_EQ(km_jobs_read_time("90m"), 5400);
    EXPECT_EQ(km_jobs_read_time("1.5h"), 5400);
    EXPECT_EQ(km_jobs_read_time("45"), 45);
    EXPECT_EQ(km_jobs_read_time("2d"), 172800);
    for (const char *wrong : { "", "m", "-1h", "5 m", "5min", "nan", "1e99" })
        EXPECT_EQ(km_jobs_read_time(wrong), 0) << wrong;
}

// The client's own form of a volume, and nothing that only looks like it.
TEST(Jobs, Volumes)
{
    const char *good[] = { "hf://buckets/acme/data:/data", "hf://datasets/acme/d@v1/a/b:/mnt:ro" };
    const km_list volumes = { good, nullptr, 2, true };
    json_t *out = nullptr;
    ASSERT_EQ(km_jobs_read_volumes(&volumes, &out, nullptr), 0);
    char *text = json_dumps(out, JSON_COMPACT | JSON_SORT_KEYS);
    EXPECT_STREQ(text, "[{\"mountPath\":\"/data\",\"source\":\"acme/data\",\"type\":\"bucket\"},"
                       "{\"mountPath\":\"/mnt\",\"path\":\"a/b\",\"readOnly\":true,"
                       "\"revision\":\"v1\",\"source\":\"acme/d\",\"type\":\"dataset\"}]");
    free(text);
    json_decref(out);
    for (const char *wrong :
         { "", "hf://buckets/acme/data", "hf://buckets/acme:/x", "s3://a/b:/c",
           "hf://clouds/a/b:/c", "hf://buckets/a/b:c", "hf://buckets/a/b:/c:no" }) {
        const km_list bad = { &wrong, nullptr, 1, true };
        EXPECT_EQ(km_jobs_read_volumes(&bad, &out, nullptr), KM_EFORMAT) << wrong;
        json_decref(out);
    }
}

// A price is by a unit of time that we know, or is refused.
TEST(Jobs, Flavor)
{
    json_t *hardware = json_loads(
        "[{\"name\":\"a\",\"unitCostMicroUSD\":3600000,\"unitLabel\":\"hour\",\"accelerator\":null}"
        ","
        "{\"name\":\"b\",\"unitCostMicroUSD\":60000,\"unitLabel\":\"minute\","
        "\"accelerator\":{\"type\":\"gpu\",\"quantity\":\"8\"}},"
        "{\"name\":\"c\",\"unitCostMicroUSD\":1,\"unitLabel\":\"token\"}]",
        0, nullptr);
    km_jobs_flavor f = {};
    EXPECT_EQ(km_jobs_read_flavor(hardware, "a", &f, nullptr), 0);
    EXPECT_DOUBLE_EQ(f.money_s, 0.001);
    EXPECT_EQ(f.gpus, 0);
    EXPECT_EQ(km_jobs_read_flavor(hardware, "b", &f, nullptr), 0);
    EXPECT_DOUBLE_EQ(f.money_s, 0.001);
    EXPECT_EQ(f.gpus, 8);
    EXPECT_EQ(km_jobs_read_flavor(hardware, "c", &f, nullptr), KM_EFORMAT);
    EXPECT_EQ(km_jobs_read_flavor(hardware, "d", &f, nullptr), KM_EUSAGE);
    json_decref(hardware);
}

TEST(Slurm, States)
{
    EXPECT_EQ(km_slurm_state_of("PENDING"), KM_SLURM_WAITS);
    EXPECT_EQ(km_slurm_state_of("RUNNING"), KM_SLURM_RUNS);
    EXPECT_EQ(km_slurm_state_of("COMPLETED"), KM_SLURM_COMPLETED);
    EXPECT_EQ(km_slurm_state_of("NODE_FAIL"), KM_SLURM_FAILED);
    EXPECT_EQ(km_slurm_state_of("PREEMPTED"), KM_SLURM_LOST);
    EXPECT_EQ(km_slurm_state_of("MARVELLING"), KM_SLURM_UNKNOWN);
}

} // namespace
