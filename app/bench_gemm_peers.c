/* SPDX-License-Identifier: MIT
 * app/bench_gemm_peers.c - oneDNN and OpenBLAS for `cllm bench matmul`: yardsticks, in `make cllm-bench` alone, which defines
 * WITH_ONEDNN and WITH_OPENBLAS for what is installed.  Every other build has this file empty of them.
 */
#include "app/bench_gemm.h"

#include "base/memory.h"

#include <stdint.h>
#include <stdio.h>

#ifdef WITH_ONEDNN
#include <dnnl.h>

extern void omp_set_num_threads(int); /* oneDNN's threads are OpenMP's; its own header has no say in their number */

struct onednn {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    dnnl_primitive_t matmul;
    dnnl_memory_t src, weights, dst;
    dnnl_exec_arg_t args[3];
    int threads;
};

static void onednn_finish(void *self)
{
    struct onednn *o = self;
    dnnl_memory_destroy(o->src);
    dnnl_memory_destroy(o->weights);
    dnnl_memory_destroy(o->dst);
    dnnl_primitive_destroy(o->matmul);
    dnnl_stream_destroy(o->stream);
    dnnl_engine_destroy(o->engine);
    mem_free(o);
}

static void onednn_run(void *self)
{
    struct onednn *o = self;
    omp_set_num_threads(o->threads);
    dnnl_primitive_execute(o->matmul, o->stream, 3, o->args);
    dnnl_stream_wait(o->stream);
}

/* The weight into the layout that the product asks for. */
static dnnl_status_t onednn_reorder(struct onednn *o, dnnl_memory_desc_t *plain, void *data)
{
    dnnl_memory_t from = NULL;
    dnnl_primitive_desc_t description = NULL;
    dnnl_primitive_t reorder = NULL;
    const dnnl_memory_desc_t *wanted = NULL;
    dnnl_status_t st = dnnl_memory_create(&from, plain, o->engine, data);
    if (st == dnnl_success)
        st = dnnl_memory_get_memory_desc(o->weights, &wanted);
    if (st == dnnl_success)
        st = dnnl_reorder_primitive_desc_create(&description, plain, o->engine, wanted, o->engine, NULL);
    if (st == dnnl_success)
        st = dnnl_primitive_create(&reorder, description);
    if (st == dnnl_success)
        st = dnnl_primitive_execute(reorder, o->stream, 2,
                                    (dnnl_exec_arg_t[]){{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, o->weights}});
    if (st == dnnl_success)
        st = dnnl_stream_wait(o->stream);
    dnnl_primitive_destroy(reorder);
    dnnl_primitive_desc_destroy(description);
    dnnl_memory_destroy(from);
    return st;
}

static void *onednn_prepare(struct gemm_case *c, int threads, bool bf16_operands, struct error *err)
{
    const dnnl_data_type_t type = bf16_operands ? dnnl_bf16 : dnnl_f32;
    const dnnl_dim_t m = (dnnl_dim_t)c->m, n = (dnnl_dim_t)c->n, k = (dnnl_dim_t)c->k;
    const dnnl_dims_t a_dims = {m, k}, b_dims = {k, n}, c_dims = {m, n};
    const dnnl_dims_t rows = {k, 1}, turned = {1, m}, b_rows = {n, 1}, c_rows = {n, 1};
    void *a = bf16_operands ? (void *)c->a16 : (void *)c->a, *b = bf16_operands ? (void *)c->b16 : (void *)c->b;
    dnnl_memory_desc_t a_md, b_md, b_plain, c_md;
    dnnl_matmul_desc_t description;
    dnnl_primitive_desc_t pd = NULL;
    struct onednn *o = mem_calloc(1, sizeof *o);
    if (!o) {
        error_set(err, STATUS_NOMEM, "no memory for oneDNN");
        return NULL;
    }
    o->threads = threads;
    omp_set_num_threads(threads);
    dnnl_status_t st = dnnl_engine_create(&o->engine, dnnl_cpu, 0);
    if (st == dnnl_success)
        st = dnnl_stream_create(&o->stream, o->engine, dnnl_stream_default_flags);
    if (st == dnnl_success)
        st = dnnl_memory_desc_init_by_strides(&a_md, 2, a_dims, type, c->gradient ? turned : rows);
    if (st == dnnl_success)
        st = dnnl_memory_desc_init_by_strides(&b_plain, 2, b_dims, type, b_rows);
    if (st == dnnl_success)
        st = c->gradient ? dnnl_memory_desc_init_by_strides(&b_md, 2, b_dims, type, b_rows)
                         : dnnl_memory_desc_init_by_tag(&b_md, 2, b_dims, type, dnnl_format_tag_any);
    if (st == dnnl_success)
        st = dnnl_memory_desc_init_by_strides(&c_md, 2, c_dims, dnnl_f32, c_rows);
    if (st == dnnl_success)
        st = dnnl_matmul_desc_init(&description, &a_md, &b_md, NULL, &c_md);
    if (st == dnnl_success)
        st = dnnl_primitive_desc_create(&pd, &description, NULL, o->engine, NULL);
    if (st == dnnl_success)
        st = dnnl_primitive_create(&o->matmul, pd);
    if (st == dnnl_success)
        st = dnnl_memory_create(&o->src, &a_md, o->engine, a);
    if (st == dnnl_success)
        st = dnnl_memory_create(&o->dst, &c_md, o->engine, c->c);
    if (st == dnnl_success)
        st = dnnl_memory_create(&o->weights, dnnl_primitive_desc_query_md(pd, dnnl_query_weights_md, 0), o->engine,
                                c->gradient ? b : DNNL_MEMORY_ALLOCATE);
    if (st == dnnl_success && !c->gradient)
        st = onednn_reorder(o, &b_plain, b);
    dnnl_primitive_desc_destroy(pd);
    o->args[0] = (dnnl_exec_arg_t){DNNL_ARG_SRC, o->src};
    o->args[1] = (dnnl_exec_arg_t){DNNL_ARG_WEIGHTS, o->weights};
    o->args[2] = (dnnl_exec_arg_t){DNNL_ARG_DST, o->dst};
    if (st == dnnl_success)
        return o;
    error_set(err, STATUS_SYSTEM, "oneDNN refuses %s (its status %d)", c->name, (int)st);
    onednn_finish(o);
    return NULL;
}

static void *onednn_f32(struct gemm_case *c, int threads, struct error *err)
{
    return onednn_prepare(c, threads, false, err);
}

static void *onednn_bf16(struct gemm_case *c, int threads, struct error *err)
{
    return onednn_prepare(c, threads, true, err);
}
#endif

#ifdef WITH_OPENBLAS
#include <cblas.h>

struct openblas {
    struct gemm_case *c;
    int threads;
};

static void openblas_run(void *self)
{
    const struct openblas *o = self;
    const struct gemm_case *c = o->c;
    openblas_set_num_threads(o->threads);
    cblas_sgemm(CblasRowMajor, c->gradient ? CblasTrans : CblasNoTrans, CblasNoTrans, (blasint)c->m, (blasint)c->n,
                (blasint)c->k, 1, c->a, (blasint)(c->gradient ? c->m : c->k), c->b, (blasint)c->n, 0, c->c,
                (blasint)c->n);
}

static void *openblas_prepare(struct gemm_case *c, int threads, struct error *err)
{
    struct openblas *o = mem_calloc(1, sizeof *o);
    if (!o)
        error_set(err, STATUS_NOMEM, "no memory for OpenBLAS");
    else
        *o = (struct openblas){c, threads};
    return o;
}
#endif

const struct gemm_contender bench_gemm_peers[] = {
#ifdef WITH_ONEDNN
    {.name = "oneDNN", .peer = true, .prepare = onednn_f32, .run = onednn_run, .finish = onednn_finish},
    {.name = "oneDNN",
     .peer = true,
     .bf16_operands = true,
     .prepare = onednn_bf16,
     .run = onednn_run,
     .finish = onednn_finish},
#endif
#ifdef WITH_OPENBLAS
    {.name = "OpenBLAS", .peer = true, .prepare = openblas_prepare, .run = openblas_run, .finish = mem_free},
#endif
    {.name = NULL},
};
const size_t bench_gemm_num_peers = sizeof bench_gemm_peers / sizeof bench_gemm_peers[0] - 1;

const char *bench_gemm_peers_line(void)
{
    static char text[160];
    char onednn[64] = "built without oneDNN", openblas[64] = "built without OpenBLAS";
#ifdef WITH_ONEDNN
    const dnnl_version_t *v = dnnl_version();
    snprintf(onednn, sizeof onednn, "oneDNN %d.%d.%d", v->major, v->minor, v->patch);
#endif
#ifdef WITH_OPENBLAS
    snprintf(openblas, sizeof openblas, "OpenBLAS (%.40s)", openblas_get_corename());
#endif
    snprintf(text, sizeof text, "%s, %s", onednn, openblas);
    return text;
}
