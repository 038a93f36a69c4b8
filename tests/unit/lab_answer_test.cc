// The object in what a role printed: of people and scripts, and of what coding agents print for
// programs.
#include <gtest/gtest.h>

#include <string>

extern "C" {
#include "lab/answer.h"
}

namespace
{

struct Answer {
    int rc;
    std::string object, cost, error;
};

std::string text_of(json_t *doc)
{
    char *text = doc ? json_dumps(doc, JSON_COMPACT | JSON_SORT_KEYS) : nullptr;
    std::string out = text ? text : "";
    free(text);
    json_decref(doc);
    return out;
}

Answer read(const std::string &output)
{
    km_err err = KM_ERR_INIT;
    json_t *out, *cost;
    int rc = km_answer_read(output.c_str(), &out, &cost, &err);
    return { rc, text_of(out), text_of(cost), rc < 0 ? err.message : "" };
}

TEST(LabAnswer, TheObjectAtTheEnd)
{
    const char *const outputs[] = {
        "{\"a\":1}",
        "{\"a\":1}\n",
        "thinking {\nof {\"b\":2}\n{\"b\":2}\n{\"a\":1}\r\n\n",
        "well:\n{\n  \"a\":\n1\n}\n",
        "here it is\n```json\n{\"a\": 1}\n```\n",
        "```\n{\n  \"a\": 1\n}\n```",
    };
    for (const char *output : outputs) {
        Answer a = read(output);
        EXPECT_EQ(a.object, "{\"a\":1}") << output << a.error;
        EXPECT_EQ(a.cost, "") << output;
    }
}

TEST(LabAnswer, NoObjectIsAnError)
{
    for (const char *output :
         { "", "\n", "no", "{\"a\":1}\nbut then", "{\"a\":1", "[1]", "{\"a\":1,\"a\":2}", "```" }) {
        Answer a = read(output);
        EXPECT_EQ(a.rc, KM_EFORMAT) << output;
        EXPECT_EQ(a.object, "") << output;
    }
}

// The agent's word of its own cost does not count beside its program's.
TEST(LabAnswer, ClaudeCode)
{
    Answer a = read("a "
                    "warning\n{\"type\":\"result\",\"subtype\":\"success\",\"is_error\":false,"
                    "\"result\":\"Done.\\n"
                    "{\\\"verdict\\\":\\\"approve\\\",\\\"cost\\\":{\\\"tokens\\\":1}}\",\"total_"
                    "cost_usd\":0.25,\"usage\":{"
                    "\"input_tokens\":10,\"cache_creation_input_tokens\":20,\"cache_read_input_"
                    "tokens\":300,\"output_tokens\":4}}\n");
    EXPECT_EQ(a.object, "{\"cost\":{\"money\":0.25,\"tokens\":334.0},\"verdict\":\"approve\"}")
        << a.error;
}

TEST(LabAnswer, AnAgentThatFailedHasCostAsMuch)
{
    Answer a = read("{\"type\":\"result\",\"is_error\":true,\"result\":\"Credit is "
                    "out\",\"total_cost_usd\":0.5}");
    EXPECT_EQ(a.rc, KM_EFORMAT);
    EXPECT_NE(a.error.find("Credit is out"), std::string::npos);
    EXPECT_EQ(a.cost, "{\"money\":0.5}");
    EXPECT_EQ(read("{\"type\":\"turn.failed\",\"error\":{\"message\":\"x\"}}").rc, KM_EFORMAT);
}

TEST(LabAnswer, Codex)
{
    Answer a = read(
        "{\"type\":\"thread.started\",\"thread_id\":\"x\"}\n{\"type\":\"turn.started\"}\n"
        "{\"type\":\"item.completed\",\"item\":{\"type\":\"agent_message\",\"text\":\"{"
        "\\\"order\\\":[1]}\"}}\n"
        "{\"type\":\"item.completed\",\"item\":{\"type\":\"command_execution\",\"command\":\"ls\"}}"
        "\n"
        "{\"type\":\"item.completed\",\"item\":{\"type\":\"agent_message\",\"text\":\"So:\\n{"
        "\\\"order\\\":[2]}\"}}\n"
        "{\"type\":\"turn.completed\",\"usage\":{\"input_tokens\":100,\"cached_input_tokens\":90,"
        "\"output_tokens\":7}}\n");
    EXPECT_EQ(a.object, "{\"cost\":{\"tokens\":107.0},\"order\":[2]}") << a.error;
}

TEST(LabAnswer, OpenCode)
{
    std::string step = "{\"type\":\"step_finish\",\"part\":{\"type\":\"step-finish\",\"cost\":0."
                       "125,\"tokens\":{\"input\":10,"
                       "\"output\":2,\"reasoning\":3,\"cache\":{\"read\":5,\"write\":1}}}}\n";
    Answer a = read(
        "{\"type\":\"text\",\"part\":{\"type\":\"text\",\"text\":\"I look\"}}\n" + step +
        "{\"type\":\"text\",\"part\":{\"type\":\"text\",\"text\":\"{\\\"ideas\\\":[]}\"}}\n" +
        step);
    EXPECT_EQ(a.object, "{\"cost\":{\"money\":0.25,\"tokens\":42.0},\"ideas\":[]}") << a.error;
    EXPECT_EQ(read(step).cost, "{\"money\":0.125,\"tokens\":21.0}");
}

// A role's own "type" and "part" are its own.
TEST(LabAnswer, OtherTypes)
{
    EXPECT_EQ(read("{\"type\":\"plan\",\"order\":[]}").object, "{\"order\":[],\"type\":\"plan\"}");
}

} // namespace
