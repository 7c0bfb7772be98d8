/* SPDX-License-Identifier: MIT
 * tokenizer/load_steps.c - normalizer, pre-tokenizer, post-processor and decoder of a tokenizer.json, each made of steps
 * we know by name.  What is not known, or stands where its effect would be another than ours, is refused: a tokenizer
 * that is nearly right gives a model words it never saw.  Format: huggingface/tokenizers, the serialization of each.
 */
#include "tokenizer/tokenizer_internal.h"

#include "base/memory.h"

#include <string.h>

/* Sequences within sequences, at most so deep. */
enum { MAX_DEPTH = 8 };

const char *json_type_of(const json_t *object, const char *key)
{
    const json_t *value = key ? json_object_get(object, key) : object;
    if (!value || json_is_null(value))
        return "null";
    const char *type = json_string_value(json_object_get(value, "type"));
    return type ? type : "something unknown";
}

static enum status refuse(const char *where, const char *part, const char *what, struct error *err)
{
    return error_set(err, STATUS_CONFIG, "%s: its %s is %.300s, which is not done here", where, part, what);
}

static enum status too_many(const char *where, const char *part, struct error *err)
{
    return error_set(err, STATUS_CONFIG, "%s: its %s has more than %d steps, or sequences in sequences in sequences",
                     where, part, (int)MAX_STEPS);
}

/* A list of steps, or a single one, each given to `one`. */
static enum status each_step(struct tokenizer *t, const json_t *step, const char *list, const char *part, int depth,
                             enum status (*one)(struct tokenizer *, const json_t *, const char *, struct error *),
                             const char *where, struct error *err)
{
    if (!step || json_is_null(step))
        return STATUS_OK;
    if (strcmp(json_type_of(step, NULL), "Sequence") != 0)
        return one(t, step, where, err);
    const json_t *steps = json_object_get(step, list);
    if (!json_is_array(steps))
        return error_set(err, STATUS_FORMAT, "%s: its %s is a Sequence without a list \"%s\"", where, part, list);
    if (depth == MAX_DEPTH)
        return too_many(where, part, err);
    enum status st = STATUS_OK;
    for (size_t i = 0; i < json_array_size(steps) && st == STATUS_OK; i++)
        st = each_step(t, json_array_get(steps, i), list, part, depth + 1, one, where, err);
    return st;
}

/* A pattern is {"String": …} or {"Regex": …}; *kind says which. */
static enum status read_pattern(const json_t *step, const char **kind, const char **text, const char *where,
                                struct error *err)
{
    const json_t *pattern = json_object_get(step, "pattern");
    *kind = json_object_get(pattern, "Regex") ? "Regex" : "String";
    return json_get_text(pattern, *kind, true, text, where, err);
}

static enum status own_text(char **out, const char *text, struct error *err)
{
    *out = mem_strdup(text);
    return *out ? STATUS_OK : error_set(err, STATUS_NOMEM, "no memory for a tokenizer");
}

static enum status one_normal(struct tokenizer *t, const json_t *step, const char *where, struct error *err)
{
    const char *type = json_type_of(step, NULL), *kind, *from = NULL, *to = NULL;
    enum status st = STATUS_OK;
    if (t->num_normal == MAX_STEPS)
        return too_many(where, "normalizer", err);
    struct normal_step *n = &t->normal[t->num_normal];
    if (strcmp(type, "NFC") == 0)
        n->kind = NORMAL_NFC;
    else if (strcmp(type, "Prepend") == 0) {
        n->kind = NORMAL_PREPEND;
        st = json_get_text(step, "prepend", true, &to, where, err);
    } else if (strcmp(type, "Replace") == 0) {
        n->kind = NORMAL_REPLACE;
        st = read_pattern(step, &kind, &from, where, err);
        if (st == STATUS_OK)
            st = json_get_text(step, "content", true, &to, where, err);
        if (st == STATUS_OK && (strcmp(kind, "Regex") == 0 || !*from)) {
            char what[200];
            snprintf(what, sizeof what, "Replace with the %s \"%.150s\"", strcmp(kind, "Regex") ? "text" : "regex",
                     from);
            return refuse(where, "normalizer", what, err);
        }
    } else
        return refuse(where, "normalizer", type, err);
    if (st != STATUS_OK)
        return st;
    t->num_normal++;
    if (from)
        st = own_text(&n->from, from, err);
    if (st == STATUS_OK && to)
        st = own_text(&n->to, to, err);
    return st;
}

/* One character that stands in for the space. */
static enum status read_mark(const char *text, struct mark *mark, const char *part, const char *where,
                             struct error *err)
{
    uint32_t code_point;
    const size_t len = strlen(text);
    if (len == 0 || utf8_decode(text, len, &code_point) != (int)len)
        return error_set(err, STATUS_FORMAT, "%s: its %s replaces the space by \"%.100s\", which is not one character",
                         where, part, text);
    mark->len = (unsigned char)len;
    memcpy(mark->text, text, len + 1);
    return STATUS_OK;
}

/* Of Metaspace: newer files say prepend_scheme, older ones add_prefix_space, some both. */
static enum status read_scheme(const json_t *step, const char *part, const char **scheme, const char *where,
                               struct error *err)
{
    bool prefix = true;
    *scheme = NULL;
    enum status st = json_get_text(step, "prepend_scheme", false, scheme, where, err);
    if (st == STATUS_OK)
        st = json_get_bool(step, "add_prefix_space", false, &prefix, where, err);
    if (st != STATUS_OK)
        return st;
    if (!*scheme)
        *scheme = prefix ? "always" : "never";
    if (strcmp(*scheme, "always") && strcmp(*scheme, "first") && strcmp(*scheme, "never"))
        return error_set(err, STATUS_FORMAT,
                         "%s: the prepend_scheme of its %s is \"%.100s\"; should be always, first or never", where,
                         part, *scheme);
    if (!prefix && strcmp(*scheme, "never") != 0)
        return error_set(err, STATUS_FORMAT, "%s: its %s contradicts itself: add_prefix_space false, prepend_scheme %s",
                         where, part, *scheme);
    return STATUS_OK;
}

static enum status pre_metaspace(struct pre_step *pre, const json_t *step, const char *where, struct error *err)
{
    const char *replacement = "", *scheme;
    *pre = (struct pre_step){.kind = PRE_METASPACE, .cut = true};
    enum status st = json_get_text(step, "replacement", true, &replacement, where, err);
    if (st == STATUS_OK)
        st = json_get_bool(step, "split", false, &pre->cut, where, err);
    if (st == STATUS_OK)
        st = read_scheme(step, "pre_tokenizer", &scheme, where, err);
    if (st != STATUS_OK)
        return st;
    pre->prepend = *scheme == 'a' ? PREPEND_ALWAYS : *scheme == 'f' ? PREPEND_FIRST : PREPEND_NEVER;
    return read_mark(replacement, &pre->mark, "pre_tokenizer", where, err);
}

static enum status pre_split(struct pre_step *pre, const json_t *step, const char *where, struct error *err)
{
    const char *kind, *text = "", *behavior = "";
    bool invert = false;
    char what[700];
    enum status st = read_pattern(step, &kind, &text, where, err);
    if (st == STATUS_OK)
        st = json_get_text(step, "behavior", true, &behavior, where, err);
    if (st == STATUS_OK)
        st = json_get_bool(step, "invert", false, &invert, where, err);
    if (st != STATUS_OK)
        return st;
    *pre = (struct pre_step){.kind = PRE_SPLIT, .split = SPLIT_UNKNOWN};
    if (strcmp(kind, "Regex") == 0)
        pre->split = split_of_regex(text);
    if (pre->split == SPLIT_UNKNOWN) {
        snprintf(what, sizeof what, "Split by the %s \"%.250s\"", strcmp(kind, "Regex") ? "text" : "regex", text);
        return refuse(where, "pre_tokenizer", what, err);
    }
    /* The expressions we know leave nothing between their matches, so removing what does not match is the same. */
    if (invert ? strcmp(behavior, "Removed") != 0 : strcmp(behavior, "Isolated") != 0) {
        snprintf(what, sizeof what, "Split with the behavior %.100s%s", behavior, invert ? ", inverted" : "");
        return refuse(where, "pre_tokenizer", what, err);
    }
    return STATUS_OK;
}

static enum status one_pre(struct tokenizer *t, const json_t *step, const char *where, struct error *err)
{
    const char *type = json_type_of(step, NULL);
    enum status st = STATUS_OK;
    if (t->byte_level)
        return refuse(where, "pre_tokenizer", "a Sequence in which something follows ByteLevel", err);
    if (t->num_pre + 2 > MAX_STEPS)
        return too_many(where, "pre_tokenizer", err);
    struct pre_step *pre = &t->pre[t->num_pre];
    if (strcmp(type, "ByteLevel") == 0) {
        bool prefix = true, regex = true; /* what `tokenizers` takes when they are absent */
        st = json_get_bool(step, "add_prefix_space", false, &prefix, where, err);
        if (st == STATUS_OK)
            st = json_get_bool(step, "use_regex", false, &regex, where, err);
        if (prefix)
            t->pre[t->num_pre++] = (struct pre_step){.kind = PRE_PREFIX_SPACE};
        if (regex)
            t->pre[t->num_pre++] = (struct pre_step){.kind = PRE_SPLIT, .split = SPLIT_GPT2};
        t->byte_level = true;
        return st;
    }
    if (strcmp(type, "Digits") == 0) {
        bool single = false;
        st = json_get_bool(step, "individual_digits", false, &single, where, err);
        *pre = (struct pre_step){.kind = PRE_SPLIT, .split = single ? SPLIT_DIGIT : SPLIT_DIGITS};
    } else if (strcmp(type, "Split") == 0)
        st = pre_split(pre, step, where, err);
    else if (strcmp(type, "Metaspace") == 0)
        st = pre_metaspace(pre, step, where, err);
    else
        return refuse(where, "pre_tokenizer", type, err);
    t->num_pre++;
    return st;
}

/* The ids of a special token of a template, appended to list[0 … *n). */
static enum status template_ids(const json_t *file, const json_t *special, int32_t **list, size_t *n, const char *where,
                                struct error *err)
{
    const char *name = NULL;
    enum status st = json_get_text(special, "id", true, &name, where, err);
    if (st != STATUS_OK)
        return st;
    const json_t *ids = json_object_get(json_object_get(json_object_get(file, "special_tokens"), name), "ids");
    const size_t more = json_array_size(ids);
    size_t bytes;
    if (more == 0)
        return error_set(err, STATUS_FORMAT, "%s: the template of its post_processor has no ids for \"%.100s\"", where,
                         name);
    int32_t *longer = size_mul(*n + more, sizeof **list, &bytes) ? mem_realloc(*list, bytes) : NULL;
    if (!longer)
        return error_set(err, STATUS_NOMEM, "no memory for a tokenizer");
    *list = longer;
    for (size_t i = 0; i < more; i++) {
        const json_t *id = json_array_get(ids, i);
        if (!json_is_integer(id) || json_integer_value(id) < 0 || json_integer_value(id) > INT32_MAX)
            return error_set(err, STATUS_FORMAT,
                             "%s: the template of its post_processor has an id for \"%.100s\" that is "
                             "none",
                             where, name);
        longer[(*n)++] = (int32_t)json_integer_value(id);
    }
    return STATUS_OK;
}

/* Puts the list before (or behind) what is there. */
static enum status wrap(int32_t **list, size_t *n, int32_t *more, size_t num_more, bool in_front, struct error *err)
{
    size_t bytes;
    if (num_more == 0)
        return STATUS_OK;
    int32_t *longer = size_mul(*n + num_more, sizeof **list, &bytes) ? mem_realloc(*list, bytes) : NULL;
    if (!longer)
        return error_set(err, STATUS_NOMEM, "no memory for a tokenizer");
    if (in_front)
        memmove(longer + num_more, longer, *n * sizeof *longer);
    memcpy(in_front ? longer : longer + *n, more, num_more * sizeof *more);
    *list = longer;
    *n += num_more;
    return STATUS_OK;
}

static enum status one_post(struct tokenizer *t, const json_t *step, const char *where, struct error *err)
{
    const char *type = json_type_of(step, NULL);
    if (strcmp(type, "ByteLevel") == 0) /* trims offsets, which we do not give */
        return STATUS_OK;
    if (strcmp(type, "TemplateProcessing") != 0)
        return refuse(where, "post_processor", type, err);
    const json_t *single = json_object_get(step, "single");
    int32_t *side[2] = {NULL, NULL};
    size_t n[2] = {0, 0};
    int texts = 0;
    enum status st = STATUS_OK;
    for (size_t i = 0; i < json_array_size(single) && st == STATUS_OK; i++) {
        const json_t *piece = json_array_get(single, i), *special = json_object_get(piece, "SpecialToken");
        const char *name = json_string_value(json_object_get(json_object_get(piece, "Sequence"), "id"));
        if (special)
            st = template_ids(step, special, &side[texts > 0], &n[texts > 0], where, err);
        else if (name && strcmp(name, "A") == 0 && texts == 0)
            texts = 1;
        else
            st = refuse(where, "post_processor",
                        "a template in which something else stands than one text A among special "
                        "tokens",
                        err);
    }
    if (st == STATUS_OK && texts == 0)
        st = error_set(err, STATUS_FORMAT, "%s: the template of its post_processor has no place for the text", where);
    if (st == STATUS_OK)
        st = wrap(&t->before, &t->num_before, side[0], n[0], true, err);
    if (st == STATUS_OK)
        st = wrap(&t->after, &t->num_after, side[1], n[1], false, err);
    mem_free(side[0]);
    mem_free(side[1]);
    return st;
}

/* What a chain of decoders has told so far. */
static enum status one_decoder(struct tokenizer *t, const json_t *step, const char *where, struct error *err)
{
    const char *type = json_type_of(step, NULL), *kind, *from = "", *to = "", *scheme;
    struct decoder *d = &t->decoder;
    enum status st;
    if (d->steps & DECODE_BYTES)
        return refuse(where, "decoder", "a Sequence with ByteLevel in it", err);
    if (strcmp(type, "ByteLevel") == 0) {
        if (d->steps)
            return refuse(where, "decoder", "a Sequence with ByteLevel in it", err);
        d->steps |= DECODE_BYTES;
        return STATUS_OK;
    }
    if (strcmp(type, "Fuse") == 0) {
        d->steps |= DECODE_FUSE;
        return STATUS_OK;
    }
    if (strcmp(type, "ByteFallback") == 0 && !(d->steps & DECODE_FUSE)) {
        d->steps |= DECODE_FALLBACK;
        return STATUS_OK;
    }
    if (strcmp(type, "Replace") == 0 && d->mark.len == 0 && !(d->steps & (DECODE_FALLBACK | DECODE_FUSE))) {
        st = read_pattern(step, &kind, &from, where, err);
        if (st == STATUS_OK)
            st = json_get_text(step, "content", true, &to, where, err);
        if (st != STATUS_OK)
            return st;
        if (strcmp(kind, "Regex") == 0 || strcmp(to, " ") != 0)
            return refuse(where, "decoder", "Replace of something else than a character by a space", err);
        return read_mark(from, &d->mark, "decoder", where, err);
    }
    if (strcmp(type, "Strip") == 0 && d->steps & DECODE_FUSE && d->strip_first == 0) {
        uint64_t start = 0, stop = 0;
        st = json_get_text(step, "content", true, &from, where, err);
        if (st == STATUS_OK)
            st = json_get_u64(step, "start", true, UINT32_MAX, &start, where, err);
        if (st == STATUS_OK)
            st = json_get_u64(step, "stop", true, UINT32_MAX, &stop, where, err);
        if (st != STATUS_OK)
            return st;
        if (strcmp(from, " ") != 0 || stop != 0)
            return refuse(where, "decoder", "Strip of something else than spaces at the beginning", err);
        d->strip_first = (unsigned)start;
        return STATUS_OK;
    }
    if (strcmp(type, "Metaspace") == 0 && d->steps == 0 && d->mark.len == 0) {
        st = json_get_text(step, "replacement", true, &from, where, err);
        if (st == STATUS_OK)
            st = read_scheme(step, "decoder", &scheme, where, err);
        if (st != STATUS_OK)
            return st;
        d->drop_first_marks = *scheme != 'n';
        d->steps |= DECODE_FUSE;
        return read_mark(from, &d->mark, "decoder", where, err);
    }
    return refuse(where, "decoder", type, err);
}

enum status load_steps(struct tokenizer *t, const json_t *file, const char *where, struct error *err)
{
    const json_t *model = json_object_get(file, "model");
    if (json_object_get(model, "type") && strcmp(json_type_of(model, NULL), "BPE") != 0) /* old files leave it out */
        return refuse(where, "model", json_type_of(model, NULL), err);
    enum status st =
        each_step(t, json_object_get(file, "normalizer"), "normalizers", "normalizer", 0, one_normal, where, err);
    if (st == STATUS_OK)
        st = each_step(t, json_object_get(file, "pre_tokenizer"), "pretokenizers", "pre_tokenizer", 0, one_pre, where,
                       err);
    if (st == STATUS_OK)
        st = each_step(t, json_object_get(file, "post_processor"), "processors", "post_processor", 0, one_post, where,
                       err);
    if (st == STATUS_OK)
        st = each_step(t, json_object_get(file, "decoder"), "decoders", "decoder", 0, one_decoder, where, err);
    if (st != STATUS_OK)
        return st;
    const bool bytes = t->decoder.steps & DECODE_BYTES;
    if (t->decoder.steps == 0)
        return refuse(where, "decoder", json_type_of(file, "decoder"), err);
    if (bytes != t->byte_level)
        return refuse(where, "decoder",
                      bytes ? "ByteLevel without a pre_tokenizer ByteLevel"
                            : "none of bytes, though its pre_tokenizer is ByteLevel",
                      err);
    return STATUS_OK;
}
