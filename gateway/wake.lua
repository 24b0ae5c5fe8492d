-- Wakes a user's phones through fswake (docs/GATEWAY.md): plain Lua with curl, for FreeSWITCH's mod_lua, Kamailio's app_lua
-- or by itself: lua wake.lua 1001@example.org 1002
--
-- local fswake = dofile("/usr/share/fswake/gateway/wake.lua")
-- local contact, why = fswake.wake("1001@example.org", "1002", 20)

local fswake = { url = os.getenv("FSWAKE") or "http://127.0.0.1:8085", token = os.getenv("FSWAKE_TOKEN") }

-- A text of JSON: quotes and backslashes are escaped, control characters are left out.
local function json(text)
  return '"' .. text:gsub("%c", ""):gsub('["\\]', "\\%0") .. '"'
end

-- A word of a shell's command line.
local function word(text)
  return "'" .. text:gsub("'", [['\'']]) .. "'"
end

-- Waits at most so many seconds. Returns the Contact to ring; or nil and why no phone can be rung.
function fswake.wake(aor, caller, seconds)
  seconds = math.floor(seconds or 20)
  local body = '{"aor":' .. json(aor) .. ',"caller":' .. json(caller or "") .. ',"wait_ms":' .. seconds * 1000 .. "}"
  local command = "curl --silent --max-time " .. seconds + 5 .. " --header 'Content-Type: application/json'"
  if fswake.token then
    command = command .. " --header " .. word("Authorization: Bearer " .. fswake.token)
  end
  local curl = io.popen(command .. " --data-binary " .. word(body) .. " " .. word(fswake.url .. "/v1/wake"))
  local answer = curl:read("*a")
  curl:close()
  -- The answer's own contact stands before those of its devices.
  if answer:match('"result":"(.-)"') == "woken" then
    return answer:match('"contact":"(.-)"') or ""
  end
  return nil, answer:match('"detail":"(.-)"') or "no answer from fswake"
end

if arg and arg[1] and not freeswitch then
  local contact, why = fswake.wake(arg[1], arg[2], tonumber(arg[3]))
  if not contact then
    io.stderr:write(arg[1], ": ", why, "\n")
    os.exit(1)
  end
  print(contact)
end

return fswake
