/* SPDX-License-Identifier: MIT
 * test_matmul_bf16.c - a layer's three products in bf16: against the order of sums in plain C, and the same bits for any number
 * of members, any chunk of rows and any cut into calls.
 */
#include "kernels/bf16_checks.h"
#include "ops/matmul_bf16.h"
#include "runtime/team.h"

enum { ROWS = 150, IN = 210, OUT = 300 };

struct layer {
    bf16 *x, *dy;               /* [ROWS,IN], [ROWS,OUT] */
    float *w, *bias, *add;      /* [IN,OUT], [OUT], [ROWS,OUT] */
    struct packed_bf16 forward, backward;
    float *y, *dx, *dw;
    bf16 *y16;
    struct weight_grad_bf16 grad;
};

static void every_product(struct sphere *me, void *arg)
{
    struct layer *l = arg;
    matmul_bf16_pack(me, &l->forward, l->w, OUT, 1);
    matmul_bf16_pack(me, &l->backward, l->w, 1, OUT);
    sphere_barrier(me);
    const struct share s = sphere_share(me, ROWS);
    matmul_bf16_rows(me, &(struct matmul_bf16){.y = l->y + s.begin * OUT,
                                               .y_stride = OUT,
                                               .y16 = l->y16 + s.begin * OUT,
                                               .y16_stride = OUT,
                                               .x = l->x + s.begin * IN,
                                               .x_stride = IN,
                                               .rows = s.end - s.begin,
                                               .b = &l->forward,
                                               .bias = l->bias,
                                               .add = l->add + s.begin * OUT,
                                               .add_stride = OUT});
    matmul_bf16_rows(me, &(struct matmul_bf16){.y = l->dx + s.begin * IN,
                                               .y_stride = IN,
                                               .x = l->dy + s.begin * OUT,
                                               .x_stride = OUT,
                                               .rows = s.end - s.begin,
                                               .b = &l->backward});
    weight_grad_bf16(me, &l->grad);
}

static void run(struct layer *l, int width)
{
    struct error err = {0};
    struct team_options options = {
        .num_spheres = width, .backend = TEAM_PTHREAD, .scratch_bytes = matmul_bf16_scratch_bytes()};
    struct team *team = team_new(&options, &err);
    ck_assert_msg(team != NULL, "%s", err.text);
    ck_assert_int_eq(team_run(team, width, every_product, l), STATUS_OK);
    team_free(team);
}

static struct layer layer_new(void)
{
    struct layer l = {.x = numbers16(ROWS * IN, 1), .dy = numbers16(ROWS * OUT, 2), .w = numbers32(IN * OUT, 3)};
    l.bias = numbers32(OUT, 4);
    l.add = numbers32(ROWS * OUT, 5);
    l.forward = (struct packed_bf16){.data = malloc(packed_bf16_bytes(IN, OUT)), .k = IN, .n = OUT};
    l.backward = (struct packed_bf16){.data = malloc(packed_bf16_bytes(OUT, IN)), .k = OUT, .n = IN};
    l.y = malloc(ROWS * OUT * sizeof *l.y);
    l.y16 = malloc(ROWS * OUT * sizeof *l.y16);
    l.dx = malloc(ROWS * IN * sizeof *l.dx);
    l.dw = malloc(IN * OUT * sizeof *l.dw);
    l.grad = (struct weight_grad_bf16){.dw = l.dw,
                                       .x = l.x,
                                       .dy = l.dy,
                                       .x_stride = IN,
                                       .dy_stride = OUT,
                                       .in = IN,
                                       .out = OUT,
                                       .rows = ROWS,
                                       .chunk = 160,
                                       .panels = malloc(weight_grad_bf16_panel_bytes(IN, OUT, 160))};
    return l;
}

static void layer_free(struct layer *l)
{
    free16(l->x), free16(l->dy), free(l->w), free(l->bias), free(l->add), free(l->forward.data), free(l->backward.data);
    free(l->y), free(l->y16), free(l->dx), free(l->dw), free(l->grad.panels);
}

START_TEST(the_sums_are_those_of_the_order)
{
    struct layer l = layer_new();
    const enum bf16_order order = kernels_bf16_get()->order;
    run(&l, 2);
    bf16 *w16 = malloc(IN * OUT * sizeof *w16);
    for (size_t i = 0; i < IN * OUT; i++)
        w16[i] = bf16_of_f32(l.w[i]);
    for (size_t r = 0; r < ROWS; r++) {
        for (size_t j = 0; j < OUT; j++) {
            const float chain = ref_chain(order, l.bias[j], l.x + r * IN, 1, w16 + j, OUT, IN);
            const float want = ref_add(l.add[r * OUT + j], chain);
            ck_assert_msg(l.y[r * OUT + j] == want, "y %zu,%zu", r, j);
            ck_assert_msg(l.y16[r * OUT + j] == bf16_of_f32(want), "y16 %zu,%zu", r, j);
        }
        for (size_t i = 0; i < IN; i++)
            ck_assert_msg(l.dx[r * IN + i] == ref_chain(order, 0, l.dy + r * OUT, 1, w16 + i * OUT, 1, OUT),
                          "dx %zu,%zu", r, i);
    }
    for (size_t i = 0; i < IN; i++)
        for (size_t j = 0; j < OUT; j++)
            ck_assert_msg(l.dw[i * OUT + j] == ref_chain(order, 0, l.x + i, IN, l.dy + j, OUT, ROWS), "dw %zu,%zu", i,
                          j);
    free(w16);
    layer_free(&l);
}
END_TEST

START_TEST(members_and_chunks_do_not_show)
{
    struct layer want = layer_new();
    run(&want, 1);
    static const int widths[] = {2, 3, 7, 12};
    for (size_t w = 0; w < 4; w++) {
        struct layer l = layer_new();
        l.grad.chunk = 32 * (w + 1);
        run(&l, widths[w]);
        ck_assert_mem_eq(l.y, want.y, ROWS * OUT * sizeof *l.y);
        ck_assert_mem_eq(l.y16, want.y16, ROWS * OUT * sizeof *l.y16);
        ck_assert_mem_eq(l.dx, want.dx, ROWS * IN * sizeof *l.dx);
        ck_assert_mem_eq(l.dw, want.dw, IN * OUT * sizeof *l.dw);
        layer_free(&l);
    }
    layer_free(&want);
}
END_TEST

/* Adding is one addition of the whole sum; going on is the chain of all rows. */
START_TEST(modes_of_a_gradient)
{
    struct layer whole = layer_new(), part = layer_new();
    run(&whole, 1);
    part.grad.mode = GRAD_ADD;
    for (size_t i = 0; i < IN * OUT; i++)
        part.dw[i] = (float)i;
    run(&part, 3);
    for (size_t i = 0; i < IN * OUT; i++)
        ck_assert(part.dw[i] == (float)i + whole.dw[i]);
    part.grad.mode = GRAD_WRITE;
    part.grad.rows = 96;
    run(&part, 2);
    part.grad.mode = GRAD_CONTINUE;
    part.grad.x += 96 * IN;
    part.grad.dy += 96 * OUT;
    part.grad.rows = ROWS - 96;
    run(&part, 2);
    ck_assert_mem_eq(part.dw, whole.dw, IN * OUT * sizeof *part.dw);
    layer_free(&whole);
    layer_free(&part);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("matmul_bf16");
    TCase *t = tcase_create("a layer");
    tcase_set_timeout(t, 60);
    tcase_add_test(t, the_sums_are_those_of_the_order);
    tcase_add_test(t, members_and_chunks_do_not_show);
    tcase_add_test(t, modes_of_a_gradient);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    const int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
