/* SPDX-License-Identifier: MIT
 * app/bench_gemm_ours.c - our own products for `cllm bench matmul`, shared out as a step shares them.
 */
#include "app/bench_gemm.h"
#include "base/arena.h"
#include "base/memory.h"
#include "ops/matmul.h"
#include "ops/matmul_bf16.h"
#include "runtime/team.h"

enum { CHUNK = 2048 };

struct ours {
    struct gemm_case *c;
    struct team *team;
    void *memory; /* the packed weight, or the panels of a gradient's chunk */
    size_t bytes;
    struct packed f32_weight;
    struct packed_bf16 bf16_weight;
    bool bf16_operands;
};

static void pack_weight(struct sphere *me, void *arg)
{
    struct ours *o = arg;
    if (o->bf16_operands)
        matmul_bf16_pack(me, &o->bf16_weight, o->c->b, o->c->n, 1);
    else
        matmul_pack(me, &o->f32_weight, o->c->b, o->c->n, 1);
}

static void rows_f32(struct sphere *me, struct ours *o)
{
    const struct gemm_case *c = o->c;
    const struct share s = sphere_share(me, c->m);
    if (s.begin < s.end)
        matmul_rows(me, c->c + s.begin * c->n, c->n, c->a + s.begin * c->k, c->k, s.end - s.begin, &o->f32_weight, NULL,
                    NULL, 0);
}

static void rows_bf16(struct sphere *me, struct ours *o)
{
    const struct gemm_case *c = o->c;
    const struct share s = sphere_share(me, c->m);
    matmul_bf16_rows(me, &(struct matmul_bf16){.y = c->c + s.begin * c->n,
                                               .y_stride = c->n,
                                               .x = c->a16 + s.begin * c->k,
                                               .x_stride = c->k,
                                               .rows = s.end - s.begin,
                                               .b = &o->bf16_weight});
}

static void gradient_f32(struct sphere *me, struct ours *o)
{
    const struct gemm_case *c = o->c;
    const struct weight_grad g = {.dw = c->c,
                                  .x = c->a,
                                  .dy = c->b,
                                  .x_stride = c->m,
                                  .dy_stride = c->n,
                                  .in = c->m,
                                  .out = c->n,
                                  .rows = c->k,
                                  .mode = GRAD_WRITE};
    const struct work bag = weight_grad_work(&g);
    work_run(me, &bag, 1);
}

static void gradient_bf16(struct sphere *me, struct ours *o)
{
    const struct gemm_case *c = o->c;
    const struct weight_grad_bf16 g = {.dw = c->c,
                                       .x = c->a16,
                                       .dy = c->b16,
                                       .x_stride = c->m,
                                       .dy_stride = c->n,
                                       .in = c->m,
                                       .out = c->n,
                                       .rows = c->k,
                                       .chunk = CHUNK,
                                       .mode = GRAD_WRITE,
                                       .panels = o->memory};
    weight_grad_bf16(me, &g);
}

static void multiply(struct sphere *me, void *arg)
{
    struct ours *o = arg;
    void (*const which[2][2])(struct sphere *, struct ours *) = {{rows_f32, rows_bf16}, {gradient_f32, gradient_bf16}};
    which[o->c->gradient][o->bf16_operands](me, o);
}

static void ours_run(void *self)
{
    struct ours *o = self;
    team_run(o->team, team_size(o->team), multiply, o);
}

static void ours_finish(void *self)
{
    struct ours *o = self;
    team_free(o->team);
    if (o->memory)
        mem_unmap(o->memory, o->bytes);
    mem_free(o);
}

static void *ours_prepare(struct gemm_case *c, int threads, bool bf16_operands, struct error *err)
{
    struct ours *o = mem_calloc(1, sizeof *o);
    struct team_options options = {.num_spheres = threads, .backend = TEAM_PTHREAD};
    options.scratch_bytes = bf16_operands ? matmul_bf16_scratch_bytes()
                            : c->gradient ? weight_grad_scratch_bytes(DTYPE_F32, c->k)
                                          : matmul_scratch_bytes(DTYPE_F32);
    if (!o) {
        error_set(err, STATUS_NOMEM, "no memory for a product");
        return NULL;
    }
    o->c = c;
    o->bf16_operands = bf16_operands;
    if (!c->gradient)
        o->bytes = bf16_operands ? packed_bf16_bytes(c->k, c->n) : packed_bytes(DTYPE_F32, c->k, c->n);
    else if (bf16_operands)
        o->bytes = weight_grad_bf16_panel_bytes(c->m, c->n, CHUNK);
    o->memory = o->bytes ? mem_map(o->bytes) : NULL;
    o->team = team_new(&options, err);
    if (!o->team || (o->bytes && !o->memory)) {
        if (o->team)
            error_set(err, STATUS_NOMEM, "no memory to pack %s", c->name);
        ours_finish(o);
        return NULL;
    }
    if (o->memory)
        mem_advise_huge(o->memory, o->bytes);
    o->f32_weight = (struct packed){.data = o->memory, .k = c->k, .n = c->n};
    o->bf16_weight = (struct packed_bf16){.data = o->memory, .k = c->k, .n = c->n};
    if (!c->gradient)
        team_run(o->team, team_size(o->team), pack_weight, o);
    return o;
}

static void *prepare_f32(struct gemm_case *c, int threads, struct error *err)
{
    return ours_prepare(c, threads, false, err);
}

static void *prepare_bf16(struct gemm_case *c, int threads, struct error *err)
{
    return ours_prepare(c, threads, true, err);
}

const struct gemm_contender bench_gemm_ours[2] = {
    {.name = "cllm", .prepare = prepare_f32, .run = ours_run, .finish = ours_finish},
    {.name = "cllm", .bf16_operands = true, .prepare = prepare_bf16, .run = ours_run, .finish = ours_finish},
};
