#include <gtest/gtest.h>

#include <sys/resource.h>

#include <cstdint>
#include <cstring>
#include <thread>
#include <vector>

extern "C" {
#include "bench/divert.h"
#include "bench/result_memory.h"

void *asks_take(size_t bytes); // tests/unit/asks.c
void asks_free(void *p);
}

namespace
{

constexpr size_t LARGE = (2u << 20) + 100, SMALL = 4096;

struct ResultMemory : testing::Test {
    void SetUp() override
    {
        ASSERT_TRUE(km_result_memory_begin("libasks.so"));
    }
    void TearDown() override
    {
        km_result_memory_end();
    }
};

long faults()
{
    rusage used;

    getrusage(RUSAGE_SELF, &used);
    return used.ru_minflt;
}

// What one call gives up the next is given, whatever the size of malloc's gaps; and pays no page.
TEST_F(ResultMemory, GoesFromHandToHand)
{
    void *kept = asks_take(LARGE), *first = asks_take(LARGE);
    long before;

    ASSERT_TRUE(kept && first);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(first) % 64, 0u);
    asks_free(first);
    before = faults();
    for (int i = 0; i < 100; i++) {
        void *again = asks_take(LARGE);
        EXPECT_EQ(again, first);
        memset(again, i, LARGE);
        asks_free(again);
    }
    EXPECT_LT(faults() - before, 5000); // malloc's: 512 each
    asks_free(kept);
}

// Blocks that are held at one time share no byte.
TEST_F(ResultMemory, BlocksAreApart)
{
    std::vector<unsigned char *> held;
    auto size = [](int i) { return LARGE + 64 * static_cast<size_t>(i % 3); };

    for (int i = 0; i < 40; i++) {
        held.push_back(static_cast<unsigned char *>(asks_take(size(i))));
        ASSERT_TRUE(held.back());
        memset(held.back(), i, size(i));
    }
    for (int i = 0; i < 40; i++) {
        EXPECT_TRUE(held[i][0] == i && held[i][size(i) - 1] == i);
        asks_free(held[i]);
    }
}

// One that is held keeps its bytes while the rest of the region goes back to the system.
TEST_F(ResultMemory, AHeldBlockStays)
{
    auto *held = static_cast<unsigned char *>(asks_take(LARGE));
    void *other = asks_take(LARGE), *again;

    memset(held, 7, LARGE);
    memset(other, 8, LARGE);
    asks_free(other);
    km_result_memory_end();
    ASSERT_TRUE(km_result_memory_begin("libasks.so"));
    again = asks_take(LARGE);
    EXPECT_EQ(again, other);
    EXPECT_EQ(static_cast<unsigned char *>(again)[LARGE / 2], 0); // a new page
    EXPECT_TRUE(held[0] == 7 && held[LARGE - 1] == 7);
    asks_free(again);
    asks_free(held);
}

// Small ones, and what was asked for before or is freed after, are as malloc has them.
TEST_F(ResultMemory, TheRestIsMallocs)
{
    void *large, *small = asks_take(SMALL), *other = asks_take(LARGE), *ours = asks_take(LARGE);

    asks_free(ours);
    km_result_memory_end();
    large = asks_take(LARGE);
    EXPECT_NE(large, ours);
    memset(large, 1, LARGE);
    ASSERT_TRUE(km_result_memory_begin("libasks.so"));
    asks_free(large);
    large = asks_take(LARGE);
    EXPECT_EQ(large, ours); // and not the one that malloc was given back
    asks_free(large);
    km_result_memory_end();
    memset(other, 2, LARGE); // still the holder's
    asks_free(other);
    asks_free(small);
    asks_free(nullptr);
}

TEST_F(ResultMemory, ManyThreads)
{
    std::vector<std::thread> threads;

    for (int t = 0; t < 4; t++)
        threads.emplace_back([t] {
            for (int i = 0; i < 2000; i++) {
                size_t bytes = (32u << 10) << (i % 3);
                auto *p = static_cast<unsigned char *>(asks_take(bytes));
                ASSERT_TRUE(p);
                p[0] = p[bytes - 1] = static_cast<unsigned char>(t);
                EXPECT_TRUE(p[0] == t && p[bytes - 1] == t);
                asks_free(p);
            }
        });
    for (auto &thread : threads)
        thread.join();
}

TEST(Divert, SaysThatNothingWas)
{
    auto nobody = reinterpret_cast<km_function>(asks_free);

    EXPECT_EQ(km_divert("libnobody.so", "free", nobody), 0);
    EXPECT_EQ(km_divert("libasks.so", "fopen", nobody), 0);
}

} // namespace
