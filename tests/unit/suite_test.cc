#include "scratch.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

extern "C" {
#include "bench/suite.h"
#include "core/limits.h"
}

namespace
{

const char good[] =
    "name = \"s\"\n"
    "[op.add]\n"
    "axes = { rows = [1, 2], columns = [3, 4] }\n"
    "shapes = [{ columns = 7, rows = 5 }]\n"
    "dtypes = [\"float32\", \"bfloat16\"]\n"
    "bytes = \"3 * rows * columns * size\"\n"
    "reference = \"torch\"\n"
    "[op.add.inputs]\n"
    "x = { shape = [\"rows\", \"columns\"] }\n"
    "i = { shape = [\"2 * rows\"], dtype = \"int64\", values = \"integers\", high = 9 }\n"
    "[op.add.calls.ours]\n"
    "library = \"package\"\n"
    "schema = \"n::f(Tensor x, Tensor? y, int[] k, float eps, bool b, str s) -> Tensor\"\n"
    "arguments = [\"x\", \"none\", [\"columns\", 1], 1e-6, true, \"hf\"]\n"
    "[op.add.calls.torch]\n"
    "schema = \"aten::g(Tensor x, Tensor[] i) -> (Tensor, Tensor)\"\n"
    "arguments = [\"x\", [\"i\", \"i\"]]\n";

/* The suite with one text replaced, or the error "line:column: message; hint". */
std::string reading(const std::string &from, const std::string &to)
{
    Scratch dir;
    std::string text = good;
    km_err err = KM_ERR_INIT;
    km_suite s;

    EXPECT_NE(text.find(from), std::string::npos) << from;
    dir.put("suite.toml", text.replace(text.find(from), from.size(), to));
    const std::string path = dir / "suite.toml";
    int rc = km_suite_read(&s, path.c_str(), &err);
    km_suite_release(&s);
    if (rc == 0)
        return "";
    EXPECT_EQ(rc, KM_EFORMAT);
    EXPECT_EQ(std::string(err.place).rfind(path + ":", 0), 0u) << err.place;
    return std::string(err.place).substr(path.size() + 1) + ": " + err.message +
           (*err.hint ? std::string("; ") + err.hint : "");
}

// Cells are every combination and the listed shapes, in each dtype; the last axis varies fastest.
TEST(Suite, Cells)
{
    Scratch dir;
    km_err err = KM_ERR_INIT;
    km_arena a = KM_ARENA_INIT;
    std::vector<std::string> cells;
    km_variable v[KM_EXPR_NAMES_MAX];
    double bytes;
    km_suite s;

    dir.put("suite.toml", good);
    ASSERT_EQ(km_suite_read(&s, (dir / "suite.toml").c_str(), &err), 0) << err.place << err.message;
    ASSERT_EQ(s.op_count, 1u);
    const km_suite_op *op = &s.ops[0];
    for (size_t i = 0; i < km_suite_cells(op); i++) {
        km_cell cell = km_suite_cell(op, i);
        cells.push_back(km_cell_text(&a, &cell));
    }
    EXPECT_EQ(cells, (std::vector<std::string>{
                         "rows=1 columns=3 float32", "rows=1 columns=4 float32",
                         "rows=2 columns=3 float32", "rows=2 columns=4 float32",
                         "rows=5 columns=7 float32", "rows=1 columns=3 bfloat16",
                         "rows=1 columns=4 bfloat16", "rows=2 columns=3 bfloat16",
                         "rows=2 columns=4 bfloat16", "rows=5 columns=7 bfloat16" }));
    km_cell last = km_suite_cell(op, 9);
    ASSERT_EQ(km_expr_value(op->bytes, v, km_cell_variables(&last, v), &bytes, &err), 0);
    EXPECT_EQ(bytes, 3 * 5 * 7 * 2);
    EXPECT_EQ(op->inputs[1].dtype, km_dtype_named("int64"));
    EXPECT_EQ(op->inputs[1].high, 9);
    EXPECT_STREQ(op->calls[0].library, "package");
    EXPECT_NE(op->calls[1].signature, nullptr);
    km_suite_release(&s);
    km_arena_release(&a);
}

// The suites of this tree are right.
TEST(Suite, OurOwn)
{
    km_err err = KM_ERR_INIT;
    km_suite s;

    for (const char *path :
         { "/kernels/rmsnorm/benchmarks/suite.toml", "/benchmarks/suites/rmsnorm.toml",
           "/benchmarks/suites/layers.toml", "/benchmarks/suites/cpu.toml" }) {
        const std::string suite = std::string(KM_SOURCE_DIR) + path;
        EXPECT_EQ(km_suite_read(&s, suite.c_str(), &err), 0) << err.place << ": " << err.message;
        km_suite_release(&s);
    }
    EXPECT_EQ(km_suite_read(&s, KM_SOURCE_DIR "/kernels/none.toml", &err), KM_ENOENT);
}

// Each mistake has its place, and what would be right.
TEST(Suite, Mistakes)
{
    const struct {
        const char *from, *to, *says;
    } cases[] = {
        { "bytes =", "byte =", "6:1: unknown key 'byte' in [op.add]; did you mean 'bytes'?" },
        { "bytes = \"3 * rows", "bytes = \"3 * row",
          "6:9: '3 * row * columns * size', column 5: there is no 'row' (in the cell rows=1 "
          "columns=3 float32); did you mean 'rows'?" },
        { "reference = \"torch\"", "reference = \"eager\"",
          "7:13: there is no call 'eager'; known: ours, torch" },
        { "[\"float32\", \"bfloat16\"]", "[\"float32\", \"bf16\"]",
          "5:22: there is no dtype 'bf16'; known: float64, float32, float16, bfloat16, int64, "
          "int32, "
          "int16, int8, uint8, bool" },
        { "[\"float32\", \"bfloat16\"]", "[]",
          "2:5: 'add' has 0 cells; 1 to 10000 can be measured" },
        { "{ columns = 7, rows = 5 }", "{ columns = 7 }", "4:11: the shape has no 'rows'" },
        { "{ columns = 7, rows = 5 }", "{ columns = 7, rows = 5, z = 1 }",
          "4:11: the shape has 3 sizes, 'add' 2 axes" },
        { "rows = [1, 2]", "rows = [1, -2]", "3:21: -2 is no size of an axis" },
        { "rows = [1, 2]", "rows = 1", "3:17: 'rows' must be an array, not an integer" },
        { "\"integers\", high = 9", "\"integer\", high = 9",
          "10:55: there are no values 'integer'; known: normal, uniform, integers" },
        { "\"integers\", high = 9", "\"integers\", low = 2", "10:73: 'low' is above 'high'" },
        { "Tensor? y", "Tensr? y",
          "13:10: 'schema', column 16: expected a type: Tensor, int, SymInt, float, bool, str, "
          "ScalarType or Device" },
        { "n::f(", "f(",
          "13:10: 'schema' names no operator: expected \"namespace::name(...) -> ...\"" },
        { "[\"x\", \"none\", ", "[\"y\", \"none\", ",
          "14:14: 'ours', argument 'x': there is no input 'y'; known: x, i" },
        { "[\"x\", \"none\", ", "[\"none\", \"none\", ",
          "14:14: 'ours', argument 'x': there is no input 'none'; known: x, i" },
        { "[\"columns\", 1]", "[\"column\", 1]",
          "14:28: 'column', column 1: there is no 'column' (in the cell rows=1 columns=3 float32); "
          "did "
          "you mean 'columns'?" },
        { "[\"columns\", 1]", "3",
          "14:27: 'ours', argument 'k': expected an array, each item an "
          "integer, not integer " },
        { "1e-6, true", "true, true",
          "14:43: 'ours', argument 'eps': expected a number, not boolean " },
        { "true, \"hf\"", "1, \"hf\"",
          "14:49: 'ours', argument 'b': expected true or false, not integer " },
        { ", \"hf\"]", "]", "14:13: 'ours' has 5 arguments, its schema 6" },
        { "[\"x\", [\"i\", \"i\"]]", "[\"x\", [\"i\", 1]]",
          "17:25: 'torch', argument 'i': expected an array, each item the name of an input, not "
          "integer " },
    };

    EXPECT_EQ(reading("high = 9", "high = 8"), "");
    for (const auto &c : cases)
        EXPECT_EQ(reading(c.from, c.to), c.says) << c.to;
}

// A call that overwrites its inputs names them, each once, and its schema says the same; its
// results are all of them, or those that `results` names.
TEST(Suite, Overwrites)
{
    const std::string call = "schema = \"aten::g(Tensor x, Tensor[] i) -> (Tensor, Tensor)\"\n"
                             "arguments = [\"x\", [\"i\", \"i\"]]\n";
    const std::string python = "python = \"m:f\"\narguments = [\"x\", [\"i\"]]\n";
    const std::string plain = "schema = \"n::f(Tensor(a!) x) -> ()\"\narguments = [\"x\"]\n";
    const std::string list =
        "schema = \"n::f(Tensor(a!)[] x) -> ()\"\narguments = [[\"x\", \"i\"]]\n";
    const struct {
        std::string to;
        const char *says;
    } cases[] = {
        { plain + "overwrites = [\"x\"]", "" },
        { list + "overwrites = [\"i\", \"x\"]", "" },
        { python + "overwrites = [\"i\"]\nresults = []", "" },
        { python + "overwrites = [\"y\"]",
          "18:15: 'torch' overwrites 'y': there is no such input; known: x, i" },
        { python + "overwrites = [\"rows\"]",
          "18:15: 'torch' overwrites 'rows': there is no such input; known: x, i" },
        { python + "overwrites = [\"x\", \"x\"]", "18:20: 'overwrites' names 'x' twice" },
        { python + "overwrites = [\"x\"]\nresults = [\"x\", \"x\"]",
          "19:17: 'results' names 'x' twice" },
        { plain + "overwrites = [\"x\", \"i\"]",
          "18:20: 'torch' overwrites 'i', which is none of its arguments" },
        { python + "overwrites = \"x\"", "18:14: 'overwrites' must be an array, not a string" },
        { python + "overwrites = []", "18:14: 'overwrites' names no input" },
        { python + "results = [\"x\"]",
          "18:11: 'results' says which inputs of 'overwrites' are results, and there is no "
          "'overwrites'" },
        { python + "overwrites = [\"x\"]\nresults = [\"i\"]",
          "19:12: 'i' is no result of 'torch': 'overwrites' does not name it" },
        { call + "overwrites = [\"x\"]",
          "18:15: 'torch' overwrites 'x', and its schema does not say so: expected "
          "\"Tensor(a!)\"" },
        { plain,
          "17:14: 'torch', argument 'x': the schema writes to it, and 'overwrites' does not name "
          "'x'" },
        { list + "overwrites = [\"x\"]",
          "17:14: 'torch', argument 'x': the schema writes to it, and 'overwrites' does not name "
          "'i'" },
    };

    for (const auto &c : cases)
        EXPECT_EQ(reading(call, c.to), c.says) << c.to;
}

// A suite that ends anywhere is an error or a suite, never a crash.
TEST(Suite, CutAtEveryByte)
{
    Scratch dir;
    const std::string text = good;

    for (size_t n = 0; n < text.size(); n++) {
        km_suite s;
        dir.put("suite.toml", text.substr(0, n));
        km_suite_read(&s, (dir / "suite.toml").c_str(), nullptr);
        km_suite_release(&s);
    }
}

} // namespace
