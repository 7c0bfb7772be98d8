/* SPDX-License-Identifier: MIT */
#include "formats/json.h"

#include "base/memory.h"

#include "scratch.h"

static struct error err;

static json_t *parse(const char *text)
{
    err = (struct error){0};
    return json_read_text(text, strlen(text), "where", &err);
}

START_TEST(written_as_people_read_it)
{
    json_t *value = parse("{\"b\":[1,-2.5,0.1,1e300,3.0,true,null,[],{}],\"a\":\"\\u00e9\\n\\\"\\\\\\u0001\"}");
    struct buffer out = {0};
    ck_assert_ptr_nonnull(value);
    ck_assert_int_eq(json_write(value, false, &out, &err), STATUS_OK);
    ck_assert_str_eq(out.data, "{\"b\":[1,-2.5,0.1,1e+300,3.0,true,null,[],{}],\"a\":\"é\\n\\\"\\\\\\u0001\"}");
    buffer_clear(&out);
    ck_assert_int_eq(json_write(value, true, &out, &err), STATUS_OK);
    ck_assert_int_eq(strncmp(out.data, "{\n  \"a\": \"é", 12), 0);
    json_t *again = parse(out.data);
    ck_assert(json_equal(value, again));
    json_decref(again);
    json_decref(value);
    buffer_release(&out);
    ck_assert_int_eq(json_write(NULL, true, &out, &err), STATUS_NOMEM);
}
END_TEST

START_TEST(reals_come_back)
{
    static const double values[] = {0.1, 1.0 / 3, 5e-324, 1.7976931348623157e308, -0.0, 123456789012345678.0, 2.5e-7};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        struct buffer out = {0};
        json_t *value = json_pack("[f]", values[i]);
        ck_assert_int_eq(json_write(value, false, &out, &err), STATUS_OK);
        json_t *again = parse(out.data);
        ck_assert_msg(json_real_value(json_array_get(again, 0)) == values[i], "%s", out.data);
        json_decref(again);
        json_decref(value);
        buffer_release(&out);
    }
    json_t *tenth = json_real_from_float(0.1f);
    ck_assert(json_real_value(tenth) == 0.1);
    json_decref(tenth);
}
END_TEST

START_TEST(refused)
{
    static const struct {
        const char *text, *words;
    } bad[] = {{"{\"a\":1,\"a\":2}", "duplicate"},
               {"{", "where, line 1"},
               {"{\"a\":1}x", "end of file"},
               {"{\"a\":\"\xff\"}", "decode byte 0xff"},
               {"", "where"},
               {"{\"a\":99999999999999999999}", "integer"},
               {"[1e999]", "real"},
               {"{\n\n\"a\" 1}", "line 3"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ck_assert_msg(!parse(bad[i].text), "%s", bad[i].text);
        expect_error(&err, STATUS_FORMAT, bad[i].words);
    }
    ck_assert_ptr_null(json_read_file(scratch_text("long", "{\"a\": 1}"), 4, &err));
    expect_error(&err, STATUS_FORMAT, "8 bytes long");
    ck_assert_ptr_null(json_read_file(scratch_text("empty", ""), 4, &err));
    expect_error(&err, STATUS_FORMAT, "empty");
    ck_assert_ptr_null(json_read_file(scratch_path("absent"), 4, &err));
    expect_error(&err, STATUS_IO, "absent");
    char *deep = malloc(1000001);
    memset(deep, '[', 1000000);
    deep[1000000] = 0;
    ck_assert_ptr_null(parse(deep)); /* and no overflow of the stack */
    free(deep);
}
END_TEST

/* Each request for memory refused in turn: that is what is said, and not that the text is bad. */
START_TEST(no_memory)
{
    static const char text[] = "{\"a\": [1, 2.5, \"\u00fcmlaut, and longer than any buffer that is there at first\", "
                               "{\"b\": null}], \"c\": true}";
    json_set_alloc_funcs(mem_alloc, mem_free);
    for (int64_t request = 0;; request++) {
        ck_assert_int_lt(request, 1000);
        mem_fail_at(request);
        json_t *value = json_read_text(text, sizeof text - 1, "here", &err);
        mem_fail_at(-1);
        if (value) {
            ck_assert_int_gt(request, 5);
            json_decref(value);
            break;
        }
        expect_error(&err, STATUS_NOMEM, "here: no memory to read it");
    }
    json_set_alloc_funcs(malloc, free);
}
END_TEST

START_TEST(typed)
{
    json_t *o = parse("{\"n\":7,\"neg\":-1,\"r\":0.5,\"s\":\"x\",\"b\":true,\"null\":null}");
    uint64_t n = 3;
    double d = 3;
    const char *s = "default";
    bool b = false;
    ck_assert_int_eq(json_get_u64(o, "n", true, 7, &n, "w", &err), STATUS_OK);
    ck_assert_uint_eq(n, 7);
    ck_assert_int_eq(json_get_u64(o, "n", true, 6, &n, "w", &err), STATUS_FORMAT);
    expect_error(&err, STATUS_FORMAT, "\"n\" is 7, outside 0 … 6");
    ck_assert_int_eq(json_get_u64(o, "neg", true, 6, &n, "w", &err), STATUS_FORMAT);
    ck_assert_int_eq(json_get_u64(o, "r", false, 6, &n, "w", &err), STATUS_FORMAT);
    expect_error(&err, STATUS_FORMAT, "a real number, where an integer should be");
    ck_assert_int_eq(json_get_u64(o, "absent", false, 6, &n, "w", &err), STATUS_OK);
    ck_assert_int_eq(json_get_u64(o, "null", false, 6, &n, "w", &err), STATUS_OK);
    ck_assert_uint_eq(n, 7);
    ck_assert_int_eq(json_get_u64(o, "absent", true, 6, &n, "w", &err), STATUS_FORMAT);
    expect_error(&err, STATUS_FORMAT, "w: \"absent\" is missing");
    ck_assert_int_eq(json_get_double(o, "n", true, &d, "w", &err), STATUS_OK);
    ck_assert(d == 7);
    ck_assert_int_eq(json_get_double(o, "s", true, &d, "w", &err), STATUS_FORMAT);
    ck_assert_int_eq(json_get_text(o, "s", true, &s, "w", &err), STATUS_OK);
    ck_assert_str_eq(s, "x");
    ck_assert_int_eq(json_get_text(o, "n", true, &s, "w", &err), STATUS_FORMAT);
    ck_assert_int_eq(json_get_bool(o, "b", true, &b, "w", &err), STATUS_OK);
    ck_assert(b);
    ck_assert_int_eq(json_get_bool(o, "n", true, &b, "w", &err), STATUS_FORMAT);
    ck_assert_int_eq(json_get_bool(json_object_get(o, "n"), "b", false, &b, "w", &err), STATUS_FORMAT);
    json_decref(o);
}
END_TEST

int main(void)
{
    TCase *cases = tcase_create("json");
    tcase_add_test(cases, written_as_people_read_it);
    tcase_add_test(cases, reals_come_back);
    tcase_add_test(cases, refused);
    tcase_add_test(cases, no_memory);
    tcase_add_test(cases, typed);
    return run_suite("formats/json", cases);
}
