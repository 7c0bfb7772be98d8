/* SPDX-License-Identifier: MIT */
#include "train/gradient_fold_internal.h"

#include "base/rng.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

enum { N = 7 };

static float leaf_value(size_t leaf, size_t i)
{
    struct rng_block r = philox4x32(rng_key(3, RNG_TEST, 0, 0), leaf, i);
    return (float)((rng_uniform(&r, 0) - 0.5) *
                   (r.word[3] % 2 ? 1 : 1000)); /* sums that round differently in every order */
}

/* The definition: a node is the left fold of up to twelve children, each of `size` leaves. */
static void reference(float out[N], size_t begin, size_t end, size_t size)
{
    if (size == 0) {
        for (size_t i = 0; i < N; i++)
            out[i] = leaf_value(begin, i);
        return;
    }
    size_t child_leaves = size;
    for (size_t at = begin; at < end; at += child_leaves) {
        float child[N];
        reference(child, at, at + child_leaves < end ? at + child_leaves : end, size == 1 ? 0 : size / 12);
        for (size_t i = 0; i < N; i++)
            out[i] = at == begin ? child[i] : out[i] + child[i];
    }
}

static void folded(float out[N], size_t leaves)
{
    float memory[GRADIENT_FOLD_MAX_HEIGHT][N];
    struct gradient_fold fold = {.height = gradient_fold_height(leaves), .leaves = leaves};
    memset(memory, 0x7f, sizeof memory); /* what was in a buffer before must not matter */
    for (int k = 0; k < fold.height; k++)
        fold.buffer[k] = memory[k];
    for (size_t leaf = 0; leaf < leaves; leaf++) {
        bool add;
        float *to = gradient_fold_leaf(&fold, leaf, &add);
        for (size_t i = 0; i < N; i++)
            to[i] = add ? to[i] + leaf_value(leaf, i) : leaf_value(leaf, i);
        struct gradient_sum sums[GRADIENT_FOLD_MAX_HEIGHT];
        int due = gradient_fold_after(&fold, leaf, sums);
        for (int s = 0; s < due; s++)
            for (size_t i = 0; i < N; i++)
                sums[s].to[i] += sums[s].from[i];
    }
    memcpy(out, gradient_fold_result(&fold), sizeof(float) * N);
}

static const size_t counts[] = {1,   2,   5,   11,  12,  13,  24,   25,   30,   143,
                                144, 145, 157, 200, 288, 300, 1727, 1728, 1729, 2000};
enum { NUM_COUNTS = sizeof counts / sizeof *counts };

START_TEST(fold_is_the_recursive_tree)
{
    size_t leaves = counts[_i], top = 1;
    float want[N], have[N];
    while (top * 12 < leaves)
        top *= 12;
    reference(want, 0, leaves, top);
    folded(have, leaves);
    ck_assert_msg(memcmp(want, have, sizeof want) == 0, "%zu leaves: %.9g, not %.9g", leaves, (double)have[0],
                  (double)want[0]);
}
END_TEST

START_TEST(buffers_are_few)
{
    static const struct {
        size_t leaves;
        int height;
    } table[] = {{1, 1}, {12, 1}, {13, 2}, {144, 2}, {145, 3}, {1728, 3}, {1729, 4}, {SIZE_MAX, 18}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        ck_assert_int_eq(gradient_fold_height(table[i].leaves), table[i].height);
}
END_TEST

/* The tree is not the running sum, or the test above would prove nothing. */
START_TEST(the_order_matters)
{
    float tree[N], running[N] = {0};
    folded(tree, 200);
    for (size_t leaf = 0; leaf < 200; leaf++)
        for (size_t i = 0; i < N; i++)
            running[i] += leaf_value(leaf, i);
    ck_assert(memcmp(tree, running, sizeof tree) != 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("gradient fold");
    TCase *tc = tcase_create("tree");
    tcase_add_loop_test(tc, fold_is_the_recursive_tree, 0, NUM_COUNTS);
    tcase_add_test(tc, buffers_are_few);
    tcase_add_test(tc, the_order_matters);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
