#!/usr/bin/env python3
"""Reports the registrations of an Asterisk to fswake (docs/GATEWAY.md).

    registrations.py /etc/fswake/asterisk-registrations.ini

AMI has no event for a REGISTER. There is a ContactStatus when a contact is added or removed. When a phone registers again with
the same Contact, there is only a SuccessfulAuth, as for a call; so the expiry of the phone's contacts is read then. Needs only
Python 3.9.
"""

import asyncio
import configparser
import hashlib
import http.client
import json
import sys
import time
import urllib.parse

# When to look for a new expiry, in seconds after a SuccessfulAuth: Asterisk usually stores the contact within 1 ms.
ASKED_AFTER = (0.02, 0.2, 1.0)
# A contact that is removed so soon after a SuccessfulAuth was removed by an un-REGISTER.
LOGGED_OUT_WITHIN = 0.5
# How long after its REGISTER a phone is taken to be awake.
RECENT = 3.0
# How often to read all contacts, and how often to check both connections.
LIST_EVERY = 300
PING_EVERY = 30
WRONG_CONFIGURATION = 78


def log(text):
    print(text, file=sys.stderr, flush=True)


def words(error):
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


class State:
    """Whether a server answers; changes are logged."""

    def __init__(self, name):
        self.name, self.problem = name, None

    def note(self, problem):
        if problem != self.problem:
            log(f"{self.name}: {problem or 'answers again'}")
            self.problem = problem


class Contact:
    """One registration. `expires` is 0 until it has been read."""

    def __init__(self, aor, uri, endpoint, expires=0, call_id="", agent=""):
        self.aor, self.uri, self.endpoint = aor, uri, endpoint
        self.expires, self.call_id, self.agent = expires, call_id, agent
        self.since = time.monotonic()

    @property
    def key(self):
        return self.aor, self.uri

    @property
    def id(self):
        return f"{self.aor};@{hashlib.md5(self.uri.encode(), usedforsecurity=False).hexdigest()}"


class Fswake:
    """Sends registrations, one request at a time: REGISTERs before rows of a list."""

    def __init__(self, settings):
        self.url = urllib.parse.urlsplit(settings["url"])
        self.domain, self.node = settings["domain"], settings["node"]
        self.headers = {"Content-Type": "application/json"}
        if settings.get("token"):
            self.headers["Authorization"] = f"Bearer {settings['token']}"
        self.connection, self.one_at_a_time = None, asyncio.Lock()
        self.news, self.rows = {}, {}
        self.work = asyncio.Event()
        self.state, self.started = State("fswake"), None

    def report(self, contact, listed=False, reason=None):
        """Queues the contact's present state; `reason`: why it has ended."""
        self.news.pop(contact.key, None)
        self.rows.pop(contact.key, None)
        (self.rows if listed else self.news)[contact.key] = (contact, reason, time.monotonic())
        self.work.set()

    def body(self, contact, listed, reason, born):
        left = 0 if reason else int(contact.expires - time.time())
        body = {
            "aor": contact.aor if "@" in contact.aor else f"{contact.aor}@{self.domain}",
            "contact": f"<{contact.uri}>",
            "expires": max(left, 0),
            "call_id": contact.call_id,
            "user_agent": contact.agent,
            "node": self.node,
        }
        if body["expires"] == 0:
            body["reason"] = reason or "expired"
        elif listed or time.monotonic() - born > RECENT:
            body["listed"] = True
        return body

    async def run(self):
        while True:
            await self.work.wait()
            queue = self.news or self.rows
            if not queue:
                self.work.clear()
                continue
            key, item = next(iter(queue.items()))
            body = self.body(item[0], queue is self.rows, *item[1:])
            try:
                status, answer = await self.ask("POST", "/v1/registrations", json.dumps(body))
            except (OSError, http.client.HTTPException) as error:
                status, answer = 0, words(error)
            if status in (400, 422):
                log(f"fswake refuses a registration of {item[0].aor}: {detail(answer)}")
            elif status != 200:
                self.state.note(f"{status or 'no answer'}: {detail(answer)}; trying again")
                await asyncio.sleep(1)
                continue
            self.state.note(None)
            # It stays in the queue if it has changed meanwhile.
            if queue.get(key) is item:
                del queue[key]

    async def ask(self, *request):
        async with self.one_at_a_time:
            return await asyncio.to_thread(self.request, *request)

    def request(self, method, path, body=None):
        """Returns status and body. Connects again if fswake has closed an idle connection."""
        for attempt in (1, 2):
            is_new = self.connection is None
            if is_new:
                kind = http.client.HTTPSConnection if self.url.scheme == "https" else http.client.HTTPConnection
                self.connection = kind(self.url.netloc, timeout=5)
            try:
                self.connection.request(method, self.url.path.rstrip("/") + path, body, self.headers)
                answer = self.connection.getresponse()
                return answer.status, answer.read().decode("utf-8", "replace")
            except (OSError, http.client.HTTPException):
                self.connection.close()
                self.connection = None
                if is_new or attempt == 2:
                    raise

    async def watch(self, asterisk):
        """Sends all registrations again after a restart of fswake, which keeps only tokens."""
        while True:
            if not self.news and not self.rows:
                started = await self.start_time()
                if started and self.started and started != self.started:
                    log("fswake has been restarted: sending all registrations")
                    for contact in asterisk.contacts.values():
                        if contact.expires:
                            self.report(contact, listed=True)
                self.started = started or self.started
            await asyncio.sleep(PING_EVERY)

    async def start_time(self):
        try:
            _, metrics = await self.ask("GET", "/metrics")
        except (OSError, http.client.HTTPException):
            return None
        lines = (line.partition(" ") for line in metrics.splitlines())
        return next((value for name, _, value in lines if name == "fswake_start_time_seconds"), None)


def detail(answer):
    """The detail of a problem (RFC 9457)."""
    try:
        return json.loads(answer)["detail"]
    except (ValueError, KeyError, TypeError):
        return answer.strip()[:200] or "no details"


class Asterisk:
    """One AMI session after another."""

    def __init__(self, settings, fswake):
        self.place = settings["host"], int(settings["port"])
        self.user, self.secret, self.fswake = settings["user"], settings["secret"], fswake
        self.contacts, self.of_endpoint = {}, {}
        self.writer, self.answers, self.asked = None, {}, 0
        # (endpoint, Call-ID) -> time of a SuccessfulAuth for which no contact has been added or refreshed so far.
        self.logins = {}
        # The rows of the list that is being read, when it was requested, and which contacts were removed since.
        self.rows, self.asked_at, self.ended = None, 0, set()
        self.tasks, self.state = set(), State("Asterisk")

    async def run(self):
        pause = 1
        while True:
            began = time.monotonic()
            try:
                await self.session()
            except (OSError, EOFError, ValueError, asyncio.TimeoutError) as error:
                self.state.note(f"{words(error)}; connecting again")
            finally:
                self.end_session()
            pause = 1 if time.monotonic() - began > 60 else min(pause * 2, 30)
            await asyncio.sleep(pause)

    def end_session(self):
        for task in self.tasks:
            task.cancel()
        if self.writer:
            self.writer.close()
        self.writer, self.rows = None, None
        self.answers.clear()

    async def session(self):
        opened = asyncio.open_connection(*self.place, limit=1 << 20)
        reader, self.writer = await asyncio.wait_for(opened, 10)
        await asyncio.wait_for(reader.readline(), 10)
        self.send("login", Action="Login", Username=self.user, Secret=self.secret)
        while True:
            self.handle(await asyncio.wait_for(self.message(reader), 2 * PING_EVERY + 10))

    @staticmethod
    async def message(reader):
        fields = {}
        while True:
            line = await reader.readline()
            if not line.endswith(b"\n"):
                raise EOFError("the connection was closed")
            name, colon, value = line.decode("utf-8", "replace").rstrip("\r\n").partition(": ")
            if colon:
                fields.setdefault(name, value)
            elif not name and fields:
                return fields

    def send(self, id, **action):
        lines = [f"{name}: {value}\r\n" for name, value in action.items()]
        self.writer.write("".join([*lines, f"ActionID: {id}\r\n\r\n"]).encode())

    def start(self, coroutine):
        task = asyncio.get_running_loop().create_task(coroutine)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    def handle(self, message):
        id, event = message.get("ActionID", ""), message.get("Event")
        if "Response" in message:
            answer = self.answers.pop(id, None)
            if message["Response"] == "Error":
                raise ValueError(f"{message.get('Message', 'error')} (user, secret, read and write of manager.conf)")
            if answer and not answer.done():
                answer.set_result(message.get("Value", ""))
        elif event == "FullyBooted":
            self.start(self.keep_listing())
        elif event == "ContactStatus":
            self.changed(message)
        elif event == "SuccessfulAuth" and message.get("Service") == "PJSIP":
            self.logged_in(message["AccountID"], message.get("SessionID", ""))
        elif event == "ContactStatusDetail" and self.rows is not None:
            fields = ("AOR", "URI", "EndpointName", "RegExpire", "CallID", "UserAgent")
            aor, uri, endpoint, expires, call_id, agent = (message.get(field, "") for field in fields)
            # Static contacts of pjsip.conf do not expire, and have no phone to wake.
            if expires.isdigit() and int(expires) > 0:
                self.rows[aor, uri] = Contact(aor, uri, endpoint, int(expires), call_id, agent)
        elif event == "ContactStatusDetailComplete":
            self.listed()

    async def keep_listing(self):
        """Requests the list of all contacts from time to time, and pings in between."""
        self.is_first_list, next_list = True, 0
        while True:
            if time.monotonic() >= next_list:
                self.rows, self.asked_at, self.ended = {}, time.monotonic(), set()
                self.send("list", Action="PJSIPShowRegistrationInboundContactStatuses")
                next_list = time.monotonic() + LIST_EVERY
            else:
                self.send("ping", Action="Ping")
            await asyncio.sleep(PING_EVERY)

    def listed(self):
        rows, self.rows = self.rows or {}, None
        if self.is_first_list:
            self.state.note(None)
            log(f"Asterisk: {len(rows)} registrations")
            self.is_first_list = False
        for key, row in rows.items():
            known = self.contacts.get(key)
            if key in self.ended:
                continue
            if not known or not known.expires and known.since < self.asked_at:
                self.add(row)
                self.fswake.report(row, listed=True)
            elif known.expires and row.expires != known.expires:
                known.expires = row.expires
                self.fswake.report(known, listed=True)
        for contact in [c for key, c in self.contacts.items() if key not in rows and c.since < self.asked_at]:
            self.drop(contact)
            if contact.expires:
                self.fswake.report(contact, reason="expired")

    def add(self, contact):
        self.contacts[contact.key] = contact
        self.of_endpoint.setdefault(contact.endpoint, {})[contact.key] = contact

    def drop(self, contact):
        self.contacts.pop(contact.key, None)
        same = self.of_endpoint.get(contact.endpoint, {})
        same.pop(contact.key, None)
        if not same:
            self.of_endpoint.pop(contact.endpoint, None)

    def changed(self, message):
        aor, uri, endpoint = message["AOR"], message["URI"], message.get("EndpointName", "")
        known = self.contacts.get((aor, uri))
        if message["ContactStatus"] == "Removed":
            contact = known or Contact(aor, uri, endpoint)
            self.ended.add(contact.key)
            self.drop(contact)
            self.fswake.report(contact, reason=self.why(contact))
        elif known:
            # The result of an OPTIONS (qualify_frequency) has changed.
            self.start(self.ask_again([known]))
        else:
            contact = Contact(aor, uri, endpoint)
            self.ended.discard(contact.key)
            self.add(contact)
            self.start(self.ask_all(contact))

    def why(self, contact):
        """Logged out: a REGISTER with the contact's own Call-ID removed it and added no other."""
        just_now = time.monotonic() - LOGGED_OUT_WITHIN
        was_register = self.logins.get((contact.endpoint, contact.call_id), 0) > just_now
        others = self.of_endpoint.get(contact.endpoint, {}).values()
        has_moved = any(other.since > max(contact.since, just_now) for other in others)
        return "unregistered" if was_register and not has_moved else "expired"

    def logged_in(self, endpoint, call_id):
        now = time.monotonic()
        self.logins.pop((endpoint, call_id), None)
        self.logins[endpoint, call_id] = now
        while next(iter(self.logins.values())) < now - RECENT:
            del self.logins[next(iter(self.logins))]
        contacts = list(self.of_endpoint.get(endpoint, {}).values())
        if contacts:
            self.start(self.ask_again(contacts, call_id))

    async def ask(self, contact, field):
        """Reads one field of a contact; empty if the contact is gone."""
        self.asked += 1
        id, answer = str(self.asked), asyncio.get_running_loop().create_future()
        self.answers[id] = answer
        self.send(id, Action="Getvar", Variable=f"PJSIP_CONTACT({contact.id},{field})")
        return await answer

    def is_there(self, contact):
        return self.contacts.get(contact.key) is contact

    async def ask_all(self, contact):
        fields = ("expiration_time", "call_id", "user_agent")
        expires, contact.call_id, contact.agent = await asyncio.gather(*(self.ask(contact, field) for field in fields))
        if expires.isdigit() and int(expires) > 0 and self.is_there(contact):
            self.logins.pop((contact.endpoint, contact.call_id), None)
            contact.expires = int(expires)
            self.fswake.report(contact)

    async def ask_again(self, contacts, call_id=""):
        """Reports the contact whose expiry has changed."""
        for pause in ASKED_AFTER:
            await asyncio.sleep(pause)
            for contact in contacts:
                if not contact.expires or not self.is_there(contact):
                    continue
                expires = await self.ask(contact, "expiration_time")
                if not expires.isdigit() or int(expires) == contact.expires or not self.is_there(contact):
                    continue
                contact.expires = int(expires)
                # A new Call-ID for its REGISTERs; unless this SuccessfulAuth was a call at the same time as the REGISTER.
                if call_id and (contact.endpoint, contact.call_id) not in self.logins:
                    contact.call_id = call_id
                self.logins.pop((contact.endpoint, contact.call_id), None)
                self.fswake.report(contact)
                return


async def main(settings):
    fswake = Fswake(settings["fswake"])
    asterisk = Asterisk(settings["asterisk"], fswake)
    # If one fails, the program ends, and systemd starts it again.
    await asyncio.gather(asterisk.run(), fswake.run(), fswake.watch(asterisk))


def read(file):
    settings = configparser.ConfigParser(interpolation=None)
    with open(file, encoding="utf-8") as text:
        settings.read_file(text)
    for section, names in (("asterisk", ("host", "port", "user", "secret")), ("fswake", ("url", "domain", "node"))):
        for name in names:
            if not settings.get(section, name).strip():
                raise ValueError(f"[{section}] {name} is empty")
    settings.getint("asterisk", "port")
    return settings


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    try:
        configuration = read(sys.argv[1])
    except (ValueError, OSError, configparser.Error) as error:
        log(f"{sys.argv[1]}: {error}")
        sys.exit(WRONG_CONFIGURATION)
    try:
        asyncio.run(main(configuration))
    except KeyboardInterrupt:
        pass
