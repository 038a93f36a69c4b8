#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

extern "C" {
#include "core/arena.h"
}

namespace
{

class Arena : public testing::Test
{
  protected:
    ~Arena() override
    {
        km_arena_release(&a);
    }

    km_arena a = KM_ARENA_INIT;
};

// Parsers put structs into it and trust that they start as zeros and may hold any type.
TEST_F(Arena, PiecesAreZeroedAlignedAndApart)
{
    std::vector<unsigned char *> pieces;

    for (size_t n = 1; n <= 300; n++) {
        auto *p = (unsigned char *)km_arena_alloc(&a, n);
        ASSERT_NE(p, nullptr);
        EXPECT_EQ((uintptr_t)p % alignof(max_align_t), 0u);
        for (size_t i = 0; i < n; i++)
            ASSERT_EQ(p[i], 0);
        memset(p, int(n & 0xff), n);
        pieces.push_back(p);
    }
    for (size_t n = 1; n <= 300; n++)
        for (size_t i = 0; i < n; i++)
            ASSERT_EQ(pieces[n - 1][i], n & 0xff) << "a later piece wrote into piece " << n;
}

// A piece larger than a block must be whole, and not spoil the blocks around it.
TEST_F(Arena, LargePieces)
{
    char *small = km_arena_strdup(&a, "before");
    auto *large = (char *)km_arena_alloc(&a, 3 * KM_ARENA_BLOCK_BYTES);
    char *after = km_arena_strdup(&a, "after");

    ASSERT_TRUE(small && large && after);
    memset(large, 'x', 3 * KM_ARENA_BLOCK_BYTES);
    EXPECT_STREQ(small, "before");
    EXPECT_STREQ(after, "after");
}

// Two empty pieces at one address would compare equal; and an empty piece is no failure.
TEST_F(Arena, EmptyPiecesAreDistinct)
{
    void *p = km_arena_alloc(&a, 0), *q = km_arena_alloc(&a, 0);

    ASSERT_TRUE(p && q);
    EXPECT_NE(p, q);
    EXPECT_NE(km_arena_array(&a, 0, 8), nullptr);
    EXPECT_NE(km_arena_array(&a, 8, 0), nullptr);
}

// Hostile sizes end in NULL, not in a wrapped product and a short piece.
TEST_F(Arena, RefusesWhatIsTooMuch)
{
    EXPECT_EQ(km_arena_alloc(&a, SIZE_MAX), nullptr);
    EXPECT_EQ(km_arena_alloc(&a, (size_t)KM_ARENA_BYTES_MAX + 1), nullptr);
    EXPECT_EQ(km_arena_array(&a, SIZE_MAX / 2, 3), nullptr);
    EXPECT_EQ(km_arena_array(&a, (size_t)1 << 32, (size_t)1 << 32), nullptr);
    EXPECT_EQ(km_arena_strndup(&a, "x", SIZE_MAX), nullptr);
    EXPECT_NE(km_arena_alloc(&a, 1), nullptr) << "a refusal must not break the arena";
}

// The ceiling counts all pieces together, and release gives it back.
TEST_F(Arena, CeilingIsForAllPieces)
{
    const size_t quarter = KM_ARENA_BYTES_MAX / 4;

    for (int i = 0; i < 4; i++)
        ASSERT_NE(km_arena_alloc(&a, quarter), nullptr);
    EXPECT_EQ(km_arena_alloc(&a, 1), nullptr);
    km_arena_release(&a);
    EXPECT_NE(km_arena_alloc(&a, 1), nullptr);
}

// Copies are terminated, and take no more than they were told to.
TEST_F(Arena, Copies)
{
    const char unterminated[3] = { 'a', 'b', 'c' };

    EXPECT_STREQ(km_arena_strdup(&a, ""), "");
    EXPECT_STREQ(km_arena_strndup(&a, unterminated, 3), "abc");
    EXPECT_STREQ(km_arena_strndup(&a, "abc", 0), "");
    EXPECT_STREQ(km_arena_printf(&a, "%s-%d", std::string(5000, 'x').c_str(), 42),
                 (std::string(5000, 'x') + "-42").c_str());
}

// One byte beyond a piece is somebody else's piece: sanitizer builds must notice.
TEST_F(Arena, SanitizerSeesAnOverrun)
{
#ifdef __SANITIZE_ADDRESS__
    volatile char *p = km_arena_strdup(&a, "abc");

    ASSERT_NE(p, nullptr);
    EXPECT_DEATH(p[4] = 'x', "heap-buffer-overflow");
#else
    GTEST_SKIP() << "only the asan build gives each piece a malloc of its own";
#endif
}

} // namespace
