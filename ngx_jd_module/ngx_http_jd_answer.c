
/*
 * ngx_http_jd_answer.c - what a refused terminal is told: RFC 9457 problem
 * details, or the same as text for printers; Chinese unless English is asked.
 *
 * "display", the first line of the text, is for a screen that others see: it
 * names neither order nor reason.
 */


#include "ngx_http_jd.h"
#include "../restrict-cache/core/jd_time.h"


#define NGX_HTTP_JD_DATE_LEN     (sizeof("2026-10-15") - 1)

/* an answer without the strings of the verdict and of the operator */
#define NGX_HTTP_JD_ANSWER_SIZE  2048


typedef struct {
    char       *language;
    char       *title;
    char       *detail;
    char       *display;
    char       *label_order;
    char       *label_authority;
    char       *label_basis;
    char       *label_term;
    char       *label_contest;
    char       *label_deadline;
    char       *label_repair;
    char       *label_desk;
    char       *label_id;
} ngx_http_jd_words_t;


static ngx_http_jd_words_t *ngx_http_jd_words(ngx_http_request_t *r,
    ngx_http_jd_decision_t *d);
static ngx_uint_t ngx_http_jd_wants_english(ngx_http_request_t *r);
static void ngx_http_jd_language_range(u_char *p, u_char *last,
    ngx_int_t quality[3]);
static ngx_int_t ngx_http_jd_send(ngx_http_request_t *r,
    ngx_http_jd_words_t *words, ngx_uint_t status, char *type, ngx_buf_t *b);
static ngx_int_t ngx_http_jd_add_header(ngx_http_request_t *r, char *name,
    char *value);
static ngx_buf_t *ngx_http_jd_problem(ngx_http_request_t *r,
    ngx_http_jd_loc_conf_t *jlcf, ngx_http_jd_decision_t *d,
    ngx_http_jd_words_t *words, ngx_uint_t status);
static u_char *ngx_http_jd_member(u_char *p, char *name, ngx_str_t *value);
static u_char *ngx_http_jd_contact(u_char *p, char *name, ngx_str_t *url,
    ngx_str_t *phone, time_t deadline);
static ngx_buf_t *ngx_http_jd_text(ngx_http_request_t *r,
    ngx_http_jd_loc_conf_t *jlcf, ngx_http_jd_decision_t *d,
    ngx_http_jd_words_t *words);
static u_char *ngx_http_jd_line(u_char *p, char *label, ngx_str_t *a,
    ngx_str_t *b);
static size_t ngx_http_jd_strings_len(ngx_http_jd_loc_conf_t *jlcf,
    ngx_jd_verdict_t *v);


/* by language, then denied or malformed */
static ngx_http_jd_words_t  ngx_http_jd_wordings[2][2] = {
    {
        { "zh-CN",
          "本项服务依限制令不予提供",
          "限制令的作出机关、依据、期限、异议和修复途径见各栏。"
          "如认错了人，请联系运营方服务台。",
          "此卡在此不能使用本项服务，请看小票，或换用其他方式付费。",
          "限制令：", "作出机关：", "依据：", "期限：", "提出异议：",
          "异议截止：", "信用修复：", "认错人请联系：", "决定编号：" },

        { "zh-CN",
          "无法识别卡号或证号",
          "请求中的卡号或证号不能唯一读出，请重试或换用其他方式。",
          "未能读取，请重试，或换用其他方式付费。",
          NULL, NULL, NULL, NULL, NULL, NULL, NULL,
          "请联系：", "决定编号：" }
    },
    {
        { "en",
          "Service refused under a restriction order",
          "Authority, basis, term and the ways to contest and to repair are "
          "named beside this text. If you are not the person meant, turn to "
          "the operator's desk.",
          "This service is not available here with this card. "
          "See the slip, or pay another way.",
          "Order: ", "Authority: ", "Basis: ", "Term: ", "To contest: ",
          "Contest until: ", "To repair: ", "Wrong person? ", "Decision: " },

        { "en",
          "Identifier not readable",
          "The identifier in the request cannot be read in one way. "
          "Try again, or use another way.",
          "Not readable. Try again, or pay another way.",
          NULL, NULL, NULL, NULL, NULL, NULL, NULL,
          "Help: ", "Decision: " }
    }
};


ngx_int_t
ngx_http_jd_answer(ngx_http_request_t *r, ngx_http_jd_loc_conf_t *jlcf,
    ngx_http_jd_decision_t *d)
{
    char                 *type;
    ngx_int_t             rc;
    ngx_buf_t            *b;
    ngx_uint_t            status;
    ngx_http_jd_words_t  *words;

    status = (d->outcome == NGX_JD_REJECTED) ? NGX_HTTP_BAD_REQUEST
                                             : jlcf->deny_status;

    if (ngx_http_jd_tell_terminal(r, d) != NGX_OK) {
        return status;
    }

    if (jlcf->answer == NGX_HTTP_JD_ANSWER_OFF) {
        return status;
    }

    rc = ngx_http_discard_request_body(r);

    if (rc != NGX_OK) {
        return rc;
    }

    words = ngx_http_jd_words(r, d);

    if (jlcf->answer == NGX_HTTP_JD_ANSWER_TEXT) {
        type = "text/plain; charset=utf-8";
        b = ngx_http_jd_text(r, jlcf, d, words);

    } else {
        type = "application/problem+json";
        b = ngx_http_jd_problem(r, jlcf, d, words, status);
    }

    if (b == NULL) {
        return status;
    }

    ngx_http_finalize_request(r, ngx_http_jd_send(r, words, status, type, b));

    return NGX_DONE;
}


static ngx_http_jd_words_t *
ngx_http_jd_words(ngx_http_request_t *r, ngx_http_jd_decision_t *d)
{
    return &ngx_http_jd_wordings[ngx_http_jd_wants_english(r)]
                                [d->outcome == NGX_JD_REJECTED];
}


/* RFC 9110, 12.5.4: English when its quality is above that of Chinese */

static ngx_uint_t
ngx_http_jd_wants_english(ngx_http_request_t *r)
{
    u_char           *p, *last, *end;
    ngx_uint_t        i;
    ngx_int_t         quality[3];               /* zh, en, *; -1: not named */
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    quality[0] = -1;
    quality[1] = -1;
    quality[2] = -1;

    for (part = &r->headers_in.headers.part; part; part = part->next) {

        h = part->elts;

        for (i = 0; i < part->nelts; i++) {

            if (h[i].key.len != sizeof("accept-language") - 1
                || ngx_strncmp(h[i].lowcase_key, "accept-language",
                               sizeof("accept-language") - 1)
                   != 0)
            {
                continue;
            }

            p = h[i].value.data;
            last = p + h[i].value.len;

            while (p < last) {
                end = ngx_strlchr(p, last, ',');
                end = end ? end : last;

                ngx_http_jd_language_range(p, end, quality);

                p = end + 1;
            }
        }
    }

    for (i = 0; i < 2; i++) {
        if (quality[i] == -1) {
            quality[i] = ngx_max(quality[2], 0);
        }
    }

    return quality[1] > quality[0];
}


static void
ngx_http_jd_language_range(u_char *p, u_char *last, ngx_int_t quality[3])
{
    u_char      *q;
    ngx_int_t    n;
    ngx_uint_t   i;

    while (p < last && (*p == ' ' || *p == '\t')) {
        p++;
    }

    while (p < last && (last[-1] == ' ' || last[-1] == '\t')) {
        last--;
    }

    if (last - p >= 2 && ngx_strncasecmp(p, (u_char *) "zh", 2) == 0) {
        i = 0;
        p += 2;

    } else if (last - p >= 2 && ngx_strncasecmp(p, (u_char *) "en", 2) == 0) {
        i = 1;
        p += 2;

    } else if (p < last && *p == '*') {
        i = 2;
        p++;

    } else {
        return;
    }

    if (p < last && *p != '-' && *p != ';' && *p != ' ' && *p != '\t') {
        return;
    }

    n = 1000;

    q = ngx_strlchr(p, last, '=');

    if (q) {
        n = ngx_atofp(q + 1, ngx_min(last - q - 1, 5), 3);

        if (n == NGX_ERROR || n > 1000) {
            n = 0;
        }
    }

    quality[i] = ngx_max(quality[i], n);
}


static ngx_int_t
ngx_http_jd_send(ngx_http_request_t *r, ngx_http_jd_words_t *words,
    ngx_uint_t status, char *type, ngx_buf_t *b)
{
    ngx_int_t    rc;
    ngx_chain_t  out;

    r->headers_out.status = status;
    r->headers_out.content_length_n = b->last - b->pos;
    r->headers_out.content_type.data = (u_char *) type;
    r->headers_out.content_type.len = ngx_strlen(type);
    r->headers_out.content_type_len = r->headers_out.content_type.len;
    r->headers_out.content_type_lowcase = NULL;

    if (ngx_http_jd_add_header(r, "Cache-Control", "no-store") != NGX_OK
        || ngx_http_jd_add_header(r, "Content-Language", words->language)
           != NGX_OK
        || ngx_http_jd_add_header(r, "Vary", "Accept-Language") != NGX_OK)
    {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    b->last_buf = 1;
    b->last_in_chain = 1;

    out.buf = b;
    out.next = NULL;

    return ngx_http_output_filter(r, &out);
}


static ngx_int_t
ngx_http_jd_add_header(ngx_http_request_t *r, char *name, char *value)
{
    ngx_table_elt_t  *h;

    h = ngx_list_push(&r->headers_out.headers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    ngx_memzero(h, sizeof(ngx_table_elt_t));

    h->hash = 1;
    h->key.data = (u_char *) name;
    h->key.len = ngx_strlen(name);
    h->value.data = (u_char *) value;
    h->value.len = ngx_strlen(value);

    return NGX_OK;
}


static ngx_buf_t *
ngx_http_jd_problem(ngx_http_request_t *r, ngx_http_jd_loc_conf_t *jlcf,
    ngx_http_jd_decision_t *d, ngx_http_jd_words_t *words, ngx_uint_t status)
{
    u_char            *p, from[26], until[26];
    ngx_str_t          id;
    ngx_buf_t         *b;
    ngx_jd_verdict_t  *v;

    v = d->verdict;

    /* an escaped byte takes 6 at most */

    b = ngx_create_temp_buf(r->pool, NGX_HTTP_JD_ANSWER_SIZE
                                     + 6 * ngx_http_jd_strings_len(jlcf, v));
    if (b == NULL) {
        return NULL;
    }

    p = ngx_sprintf(b->last, "{\"type\":\"https://ngx-jd.example/problem/%s\","
                    "\"title\":\"%s\",\"status\":%ui,\"detail\":\"%s\","
                    "\"display\":\"%s\"",
                    v ? "denied" : "malformed", words->title, status,
                    words->detail, words->display);

    if (v) {
        from[jd_time_print(v->from, (char *) from)] = '\0';
        until[jd_time_print(v->until, (char *) until)] = '\0';

        p = ngx_http_jd_member(p, "order", &v->order);
        p = ngx_http_jd_member(p, "authority", &v->authority);
        p = ngx_http_jd_member(p, "basis", &v->basis);
        p = ngx_sprintf(p, ",\"from\":\"%s\",\"until\":\"%s\"", from, until);
        p = ngx_http_jd_contact(p, "contest", &v->contest_url,
                                &v->contest_phone, v->deadline);
        p = ngx_http_jd_contact(p, "repair", &v->repair_url,
                                &v->repair_phone, 0);
    }

    p = ngx_http_jd_contact(p, "desk", &jlcf->desk_url, &jlcf->desk_phone, 0);

    p = ngx_sprintf(p, ",\"measure\":\"%s\"",
                    jd_measure_names[d->gate->measure]);

    if (ngx_http_jd_decision_id(r, d, &id) == NGX_OK) {
        p = ngx_http_jd_member(p, "decision_id", &id);
    }

    *p++ = '}';
    *p++ = LF;

    b->last = p;

    return b;
}


static u_char *
ngx_http_jd_member(u_char *p, char *name, ngx_str_t *value)
{
    p = ngx_sprintf(p, ",\"%s\":\"", name);
    p = (u_char *) ngx_escape_json(p, value->data, value->len);
    *p++ = '"';

    return p;
}


/* an object of what is there of address, phone number and last day */

static u_char *
ngx_http_jd_contact(u_char *p, char *name, ngx_str_t *url, ngx_str_t *phone,
    time_t deadline)
{
    u_char     *start, date[26];
    ngx_str_t   day;

    if (url->len == 0 && phone->len == 0) {
        return p;
    }

    p = ngx_sprintf(p, ",\"%s\":", name);
    start = p;

    if (url->len) {
        p = ngx_http_jd_member(p, "url", url);
    }

    if (phone->len) {
        p = ngx_http_jd_member(p, "phone", phone);
    }

    if (deadline) {
        (void) jd_time_print(deadline, (char *) date);
        day.data = date;
        day.len = NGX_HTTP_JD_DATE_LEN;
        p = ngx_http_jd_member(p, "deadline", &day);
    }

    *start = '{';
    *p++ = '}';

    return p;
}


static ngx_buf_t *
ngx_http_jd_text(ngx_http_request_t *r, ngx_http_jd_loc_conf_t *jlcf,
    ngx_http_jd_decision_t *d, ngx_http_jd_words_t *words)
{
    u_char            *p, from[26], until[26], deadline[26];
    ngx_str_t          id, day, first, last;
    ngx_buf_t         *b;
    ngx_jd_verdict_t  *v;

    v = d->verdict;

    b = ngx_create_temp_buf(r->pool, NGX_HTTP_JD_ANSWER_SIZE
                                     + ngx_http_jd_strings_len(jlcf, v));
    if (b == NULL) {
        return NULL;
    }

    ngx_str_null(&day);

    p = ngx_sprintf(b->last, "%s\n\n%s\n", words->display, words->title);

    if (v) {
        first.data = from;
        first.len = jd_time_print(v->from, (char *) from);
        last.data = until;
        last.len = jd_time_print(v->until, (char *) until);

        if (v->deadline) {
            (void) jd_time_print(v->deadline, (char *) deadline);
            day.data = deadline;
            day.len = NGX_HTTP_JD_DATE_LEN;
        }

        p = ngx_http_jd_line(p, words->label_order, &v->order, NULL);
        p = ngx_http_jd_line(p, words->label_authority, &v->authority, NULL);
        p = ngx_http_jd_line(p, words->label_basis, &v->basis, NULL);
        p = ngx_http_jd_line(p, words->label_term, &first, &last);
        p = ngx_http_jd_line(p, words->label_contest, &v->contest_url,
                             &v->contest_phone);
        p = ngx_http_jd_line(p, words->label_deadline, &day, NULL);
        p = ngx_http_jd_line(p, words->label_repair, &v->repair_url,
                             &v->repair_phone);
    }

    p = ngx_http_jd_line(p, words->label_desk, &jlcf->desk_url,
                         &jlcf->desk_phone);

    if (ngx_http_jd_decision_id(r, d, &id) == NGX_OK) {
        p = ngx_http_jd_line(p, words->label_id, &id, NULL);
    }

    b->last = p;

    return b;
}


/* "label a b" of those that are not empty; nothing when both are */

static u_char *
ngx_http_jd_line(u_char *p, char *label, ngx_str_t *a, ngx_str_t *b)
{
    size_t  more;

    more = b ? b->len : 0;

    if (a->len == 0 && more == 0) {
        return p;
    }

    p = ngx_sprintf(p, "%s%V", label, a);

    if (more) {
        p = ngx_sprintf(p, "%s%V", a->len ? " " : "", b);
    }

    *p++ = LF;

    return p;
}


static size_t
ngx_http_jd_strings_len(ngx_http_jd_loc_conf_t *jlcf, ngx_jd_verdict_t *v)
{
    size_t  len;

    len = jlcf->desk_url.len + jlcf->desk_phone.len + JD_SEAL_TEXT_MAX;

    if (v) {
        len += v->order.len + v->authority.len + v->basis.len
               + v->contest_url.len + v->contest_phone.len
               + v->repair_url.len + v->repair_phone.len;
    }

    return len;
}
