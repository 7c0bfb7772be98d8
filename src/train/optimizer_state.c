/* SPDX-License-Identifier: MIT
 * An optimizer's states in a file: a state's tensor is named by its prefix and the parameter; one that has an element
 * for each of the parameter's has its shape, else it is a row.
 */
#include "base/crc32.h"
#include "base/memory.h"
#include "formats/safetensors.h"
#include "train/optimizer_internal.h"
#include "train/training_internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { NAME_BYTES = 96 };

/* What state k of the walk's parameter is in a file; false: nothing. */
static bool view_of(const struct training *t, const struct optimizer_walk *walk, size_t k, char *name,
                    struct tensor_view *view)
{
    const struct optimizer_state *state = &t->room.optimizer->states[k];
    const struct param *p = walk->param;
    const size_t elements = optimizer__elements(state, p);
    if (elements == 0)
        return false;
    snprintf(name, NAME_BYTES, "%s%s", state->prefix, p->name);
    *view = (struct tensor_view){.name = name,
                                 .dtype = state->dtype,
                                 .rank = state->block > 1 ? 1 : p->rank,
                                 .shape = {state->block > 1 ? elements : p->shape[0], p->shape[1]},
                                 .data = walk->state[k],
                                 .size_bytes = elements * optimizer__element_bytes(state)};
    return true;
}

enum status optimizer__save(const struct training *t, const char *path, uint64_t *size_bytes, uint32_t *crc,
                            struct error *err)
{
    size_t num_params, n = 0;
    model_params(t->model, &num_params);
    const size_t most = t->room.optimizer->num_states * num_params;
    struct tensor_view *views = mem_calloc(most, sizeof *views);
    char *names = mem_calloc(most, NAME_BYTES);
    enum status st = STATUS_NOMEM;
    if (!views || !names) {
        error_set(err, STATUS_NOMEM, "%s: out of memory for the list of tensors", path);
    } else {
        for (size_t k = 0; k < t->room.optimizer->num_states; k++) {
            struct optimizer_walk walk = {0};
            while (optimizer__next(t, &walk))
                n += view_of(t, &walk, k, names + NAME_BYTES * n, &views[n]);
        }
        st = safetensors_write(path, views, n, size_bytes, crc, err);
    }
    mem_free(names);
    mem_free(views);
    return st;
}

static enum status check_values(const struct optimizer_state *state, const struct tensor_view *view, const char *path,
                                struct error *err)
{
    const float *x = view->data;
    if (strcmp(state->dtype, "F32") != 0)
        return STATUS_OK;
    for (size_t i = 0; i < view->size_bytes / sizeof *x; i++)
        if (!isfinite(x[i]) || (state->not_negative && x[i] < 0))
            return error_set(err, STATUS_FORMAT, "%s: tensor '%s': element %zu is %g, it must be %s", path, view->name,
                             i, (double)x[i], state->not_negative ? "finite and not negative" : "finite");
    return STATUS_OK;
}

static enum status read_state(const struct safetensors *file, const struct optimizer_state *state,
                              const struct tensor_view *want, struct error *err)
{
    const char *path = safetensors_path(file);
    const struct tensor_view *have = safetensors_find(file, want->name);
    if (!have)
        return error_set(err, STATUS_FORMAT, "%s: tensor '%s' is missing", path, want->name);
    if (strcmp(have->dtype, want->dtype) != 0)
        return error_set(err, STATUS_FORMAT, "%s: tensor '%s' is %s, where %s should be", path, want->name, have->dtype,
                         want->dtype);
    bool same = have->rank == want->rank;
    for (size_t d = 0; same && d < want->rank; d++)
        same = have->shape[d] == want->shape[d];
    if (!same)
        return error_set(err, STATUS_FORMAT, "%s: tensor '%s' has another shape than the model wants", path,
                         want->name);
    enum status st = safetensors_read(file, have, 0, (void *)(uintptr_t)want->data, (size_t)want->size_bytes, err);
    return st == STATUS_OK ? check_values(state, want, path, err) : st;
}

enum status optimizer__load(struct training *t, const char *path, struct error *err)
{
    struct error mine;
    if (!err)
        err = &mine;
    struct safetensors *file = safetensors_open(path, err);
    if (!file)
        return err->status;
    enum status st = STATUS_OK;
    for (size_t k = 0; k < t->room.optimizer->num_states && st == STATUS_OK; k++) {
        struct optimizer_walk walk = {0};
        struct tensor_view view;
        char name[NAME_BYTES];
        while (st == STATUS_OK && optimizer__next(t, &walk))
            if (view_of(t, &walk, k, name, &view))
                st = read_state(file, &t->room.optimizer->states[k], &view, err);
    }
    safetensors_close(file);
    return st;
}

uint32_t optimizer__hash(const struct training *t)
{
    uint32_t crc = 0;
    for (size_t k = 0; k < t->room.optimizer->num_states; k++) {
        const struct optimizer_state *state = &t->room.optimizer->states[k];
        struct optimizer_walk walk = {0};
        while (optimizer__next(t, &walk)) {
            const size_t elements = optimizer__elements(state, walk.param);
            if (elements)
                crc = crc32_ieee(crc, walk.state[k], elements * optimizer__element_bytes(state));
        }
    }
    return crc;
}
