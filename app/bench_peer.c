/* SPDX-License-Identifier: MIT */
#include "app/bench_peer.h"

#include "base/buffer.h"
#include "base/file.h"
#include "base/file_writer.h"
#include "base/rng.h"
#include "data/tokens.h"

#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { DATA_TOKENS = 1 << 20 };

/* n floats: all `value`, or uniform with the deviation of GPT-2's initialisation. */
static void write_floats(struct file_writer *writer, size_t n, float value, uint64_t key, bool random)
{
    enum { CHUNK = 4096 };
    float chunk[CHUNK];
    for (size_t at = 0; at < n; at += CHUNK) {
        size_t now = n - at < CHUNK ? n - at : CHUNK;
        for (size_t i = 0; i < now; i += 4) {
            struct rng_block block = philox4x32(key, 0, at + i);
            for (size_t j = 0; j < 4; j++) {
                float unit = (float)(block.word[j] >> 8) / 16777216.0f - 0.5f;
                chunk[i + j] = random ? unit * 0.0692820f : value;
            }
        }
        file_writer_write(writer, chunk, now * sizeof *chunk);
    }
}

static enum status write_model(const char *path, const struct model_config *m, struct error *err)
{
    size_t C = m->n_embd, L = m->n_layer, padded = (m->vocab_size + 127) / 128 * 128;
    const struct {
        size_t n;
        enum { RANDOM, ONE, ZERO } kind;
    } tensors[] = {
        {padded * C, RANDOM},   {m->n_positions * C, RANDOM}, {L * C, ONE},  {L * C, ZERO},
        {L * 3 * C * C, RANDOM}, {L * 3 * C, ZERO},            {L * C * C, RANDOM}, {L * C, ZERO},
        {L * C, ONE},           {L * C, ZERO},                {L * 4 * C * C, RANDOM}, {L * 4 * C, ZERO},
        {L * 4 * C * C, RANDOM}, {L * C, ZERO},                {C, ONE},      {C, ZERO},
    };
    struct file_writer *writer = file_writer_open(path, err);
    if (!writer)
        return err->status;
    int32_t header[256] = {20240326, 3, (int32_t)m->n_positions, (int32_t)m->vocab_size, (int32_t)L, (int32_t)m->n_head,
                           (int32_t)C, (int32_t)padded};
    file_writer_write(writer, header, sizeof header);
    for (size_t i = 0; i < sizeof tensors / sizeof tensors[0]; i++)
        write_floats(writer, tensors[i].n, tensors[i].kind == ONE ? 1.0f : 0.0f, rng_key(1, RNG_TEST, i, 0),
                     tensors[i].kind == RANDOM);
    return file_writer_close(writer, false, NULL, NULL, err);
}

static enum status write_tokens(const char *path, size_t vocab, uint64_t stream, struct error *err)
{
    enum { CHUNK = 4096 };
    int32_t ids[CHUNK];
    struct token_writer *writer = token_writer_open(path, 2, err);
    enum status status = writer ? STATUS_OK : err->status;
    for (size_t at = 0; status == STATUS_OK && at < DATA_TOKENS; at += CHUNK) {
        for (size_t i = 0; i < CHUNK; i++)
            ids[i] = (int32_t)(philox4x32(stream, 0, at + i).word[0] % vocab);
        status = token_writer_append(writer, ids, CHUNK, err);
    }
    if (status == STATUS_OK)
        return token_writer_commit(writer, err);
    token_writer_abort(writer);
    return status;
}

enum status bench_peer_prepare(const char *directory, const struct model_config *config, struct error *err)
{
    static const char *const below[] = {"dev", "dev/data", "dev/data/tinyshakespeare"};
    struct buffer path = {0};
    enum status status = STATUS_OK;
    if (config->family != MODEL_GPT2 || config->vocab_size > 65536 || config->n_inner != 4 * config->n_embd)
        return error_set(err, STATUS_CONFIG,
                         "llm.c's program takes a GPT-2 with a vocabulary of at most 65536 and an MLP of four times "
                         "the width only");
    for (size_t i = 0; status == STATUS_OK && i < 3; i++)
        status = file_make_directory(path_join(&path, directory, below[i]), err);
    if (status == STATUS_OK)
        status = write_model(path_join(&path, directory, "gpt2_124M.bin"), config, err);
    if (status == STATUS_OK)
        status = write_tokens(path_join(&path, directory, "dev/data/tinyshakespeare/tiny_shakespeare_train.bin"),
                              config->vocab_size, 1, err);
    if (status == STATUS_OK)
        status = write_tokens(path_join(&path, directory, "dev/data/tinyshakespeare/tiny_shakespeare_val.bin"),
                              config->vocab_size, 2, err);
    buffer_release(&path);
    return status;
}

static enum status start(const char *command, const char *directory, int threads, pid_t *pid, FILE **output,
                         struct error *err)
{
    int ends[2];
    char absolute[4096], number[16];
    if (pipe(ends) != 0)
        return error_set(err, STATUS_SYSTEM, "no pipe: %s", strerror(errno));
    snprintf(number, sizeof number, "%d", threads);
    if (file_exists(command) && realpath(command, absolute))
        command = absolute;
    char sh[] = "sh", c[] = "-c", script[] = "cd \"$0\" && export OMP_NUM_THREADS=\"$2\" && eval \"$1\"";
    char *argv[] = {sh, c, script, (char *)directory, (char *)command, number, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDERR_FILENO);
    posix_spawn_file_actions_addclose(&actions, ends[0]);
    posix_spawn_file_actions_addclose(&actions, ends[1]);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
    posix_spawnattr_setpgroup(&attributes, 0);
    int failed = posix_spawn(pid, "/bin/sh", &actions, &attributes, argv, environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    if (failed) {
        close(ends[0]);
        return error_set(err, STATUS_SYSTEM, "/bin/sh cannot be started: %s", strerror(failed));
    }
    *output = fdopen(ends[0], "r");
    return STATUS_OK;
}

/* Reads lines until step `repeat` was told. */
static enum status read_steps(FILE *output, const char *command, size_t batch_tokens, size_t repeat, double *took_ms,
                              struct error *err)
{
    char line[1024], last[200] = "";
    while (fgets(line, sizeof line, output)) {
        size_t batches, step;
        double loss, ms;
        if (sscanf(line, "train dataset num_batches: %zu", &batches) == 1 && batches != DATA_TOKENS / batch_tokens)
            return error_set(err, STATUS_CONFIG,
                             "the peer takes %zu tokens a step and ours %zu: build it with the same B and T",
                             batches ? DATA_TOKENS / batches : 0, batch_tokens);
        if (sscanf(line, "step %zu: train loss %lf (took %lf ms)", &step, &loss, &ms) == 3 && step >= 1 &&
            step <= repeat) {
            took_ms[step - 1] = ms;
            if (step == repeat)
                return STATUS_OK;
        }
        snprintf(last, sizeof last, "%.*s", (int)strcspn(line, "\n") < 199 ? (int)strcspn(line, "\n") : 199, line);
    }
    return error_set(err, STATUS_FORMAT, "the peer '%s' ended before step %zu; its last line: '%s'", command, repeat,
                     last);
}

enum status bench_peer_run(const char *command, const char *directory, int threads, size_t batch_tokens, size_t repeat,
                           double *took_ms, struct error *err)
{
    pid_t pid;
    FILE *output = NULL;
    enum status status = start(command, directory, threads, &pid, &output, err);
    if (status != STATUS_OK)
        return status;
    status = output ? read_steps(output, command, batch_tokens, repeat, took_ms, err)
                    : error_set(err, STATUS_NOMEM, "no memory to read the peer's output");
    kill(-pid, SIGKILL); /* its own process group: the shell and what it started */
    if (output)
        fclose(output);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
    return status;
}
