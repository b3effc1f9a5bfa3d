-- Serves releases of sites. Its answers are those of abreast.core.site_rules.site, of which its tables are made.
-- A page is served by the file server, which comes after this filter: the path becomes that of the file.

local STORE = "abreast.site"
local PLAIN = "plain"
local MAX_SITES = 64

local sites, site_count = {}, 0 -- each worker loads the tables of a release once
local site -- the tables of the request at hand

local function tables_in(path)
  if not sites[path] then
    if site_count == MAX_SITES then sites, site_count = {}, 0 end
    sites[path], site_count = dofile(path), site_count + 1
  end
  return sites[path]
end

local function encode(bytes)
  return (bytes:gsub("[^%w%-._~!$&'()*+,;=:@]", function(c) return string.format("%%%02X", c:byte()) end))
end

local function decode(text)
  return (text:gsub("%%(%x%x)", function(hex) return string.char(tonumber(hex, 16)) end))
end

local function canonical(path)
  if not path:find("[^%w%-._~/]") then return path end
  return (path:gsub("[^/]+", function(segment) return encode(decode(segment)) end))
end

local function without_slashes(path)
  return (path:gsub("/+$", ""))
end

local function split(text, separator)
  local at = text:find(separator, 1, true)
  if at then return text:sub(1, at - 1), text:sub(at + #separator), true end
  return text, "", false
end

local function place_of(target)
  return (split((split(target, "#")), "?"))
end

local function with_query(target, query)
  local place, fragment, has_fragment = split(target, "#")
  if query == "" or place:find("?", 1, true) then return target end
  return place .. "?" .. query .. (has_fragment and "#" .. fragment or "")
end

local function query_values(query)
  local values = {}
  for part in query:gmatch("[^&]+") do
    local name, value, has_value = split(part, "=")
    if has_value then values[decode((name:gsub("+", " ")))] = decode((value:gsub("+", " "))) end
  end
  return values
end

local function query_text(value)
  return (value:gsub("[^%w%-._~ ]", function(c) return string.format("%%%02X", c:byte()) end):gsub(" ", "+"))
end

local function cookies_of(header)
  local cookies = {}
  for part in header:gmatch("[^;]+") do
    local name, value = part:match("^%s*([^=]-)%s*=%s*(.-)%s*$")
    if name then cookies[name] = value end
  end
  return cookies
end

local function any(list, holds)
  for _, item in ipairs(list) do
    if holds(item) then return true end
  end
  return false
end

local function is_met(rule, request)
  if rule.host and (rule.host ~= request.host or rule.scheme ~= request.scheme) then return false end
  local language = request.language
  local function speaks(wanted) return language == wanted or language:sub(1, #wanted + 1) == wanted .. "-" end
  if rule.languages and not any(rule.languages, speaks) then return false end
  return not rule.cookies or any(rule.cookies, function(name) return request.cookies[name] ~= nil end)
end

local function captured(rule, path)
  for _, form in ipairs(rule.forms) do
    local found = {path:find(form.pattern)}
    if found[1] then
      local values = {}
      for position, number in ipairs(form.captures) do values[number] = found[position + 2] end
      return values
    end
  end
end

local function fill_in(to, name, value)
  return (to:gsub(name, function() return value end))
end

local function destination(rule, request, path)
  local values = captured(rule, path)
  if not values or not is_met(rule, request) then return end
  local to = rule.to
  for _, parameter in ipairs(rule.query) do
    local found = request.values[parameter.name]
    if not found or (parameter.value and found ~= parameter.value) then return end
  end
  for _, name in ipairs(rule.names) do to = fill_in(to, name.text, values[name.capture] or "") end
  for _, parameter in ipairs(rule.query) do
    if parameter.placeholder then
      to = fill_in(to, parameter.placeholder, query_text(request.values[parameter.name]))
    end
  end
  if not to:find("?", 1, true) and without_slashes(canonical(place_of(to))) == without_slashes(path) then return end
  return to
end

local function first_redirect(request, path)
  local single, several = site.single[without_slashes(path)] or {}, site.several
  local i, j = 1, 1
  while single[i] or several[j] do
    local position
    if not several[j] or (single[i] and single[i] < several[j]) then
      position, i = single[i], i + 1
    else
      position, j = several[j], j + 1
    end
    local to = destination(site.redirects[position], request, path)
    if to then return site.redirects[position], to end
  end
end

local function add_headers_of(path, headers)
  if #site.headers == 0 then return headers end
  local lowered = path:lower()
  for _, rule in ipairs(site.headers) do
    if lowered:find(rule.pattern) then
      for name, value in pairs(rule.values) do headers[name] = value end
    end
  end
  return headers
end

local function accepts(header, encoding)
  for item in header:lower():gmatch("[^,]+") do
    local name, quality = item:match("^%s*([^;%s]+)"), item:match(";%s*q=([%d.]+)")
    if name == encoding then return tonumber(quality or 1) ~= 0 end
  end
  return false
end

local function file_headers(file, tree, status, path)
  local headers = {["x-content-type-options"] = "nosniff", vary = "accept-encoding"}
  if tree ~= PLAIN then headers["content-encoding"] = tree end
  if status < 400 then
    headers.etag = 'W/"' .. site.etag .. '"'
    headers["cache-control"] = site.hashed[file] and "public, max-age=31536000, immutable" or "no-cache"
  else
    headers["cache-control"] = "no-store"
  end
  return add_headers_of(path, headers)
end

local function file_answer(handle, file, status, path)
  local request = handle:headers()
  local encodings, tree = site.encodings[file], PLAIN
  if encodings then
    local accepted = request:get("accept-encoding") or ""
    for _, encoding in ipairs(encodings) do
      if tree == PLAIN and accepts(accepted, encoding) then tree = encoding end
    end
  end
  if status == 200 and (request:get("if-none-match") or ""):find(site.etag, 1, true) then
    local headers = file_headers(file, PLAIN, status, path)
    headers[":status"] = "304"
    return handle:respond(headers)
  end
  -- As one text: Envoy copies what is stored, and a table would cost more.
  handle:streamInfo():dynamicMetadata():set(STORE, "answer", status .. " " .. tree .. " " .. file .. " " .. path)
  request:replace(":path", "/" .. tree .. file)
end

local function missing_answer(handle, path)
  if site.error_page then return file_answer(handle, site.error_page, 404, path) end
  local headers = add_headers_of(path, {})
  headers[":status"], headers["content-type"] = "404", "text/plain"
  handle:respond(headers, "Not Found")
end

local function proxy_answer(handle, url, added)
  local scheme, authority, rest = url:match("^(https?)://([^/?#]+)([^#]*)")
  local headers = handle:headers()
  for name, value in pairs(added) do headers:replace(name, value) end
  headers:replace(":authority", authority)
  headers:replace(":path", rest:sub(1, 1) == "/" and rest or "/" .. rest)
  headers:replace(site.proxy_header, site.proxies[scheme .. "://" .. authority] or "none")
  handle:clearRouteCache()
end

local function redirect_answer(handle, location, status)
  handle:respond({[":status"] = tostring(status), location = location}, "")
end

local function request_of(handle, query)
  local headers = handle:headers()
  local cookies = cookies_of(headers:get("cookie") or "")
  local language = cookies.nf_lang or (headers:get("accept-language") or ""):match("^[^,]*"):sub(1, 2)
  return {
    values = query_values(query), cookies = cookies, language = (language == "" and "en" or language):lower(),
    host = (headers:get(":authority") or ""):lower():gsub(":%d+$", ""), scheme = headers:get(":scheme") or "http",
  }
end

local function answer(handle)
  site = tables_in(handle:filterContext():get("tables"))
  local headers = handle:headers()
  local method = headers:get(":method")
  local sent, query = split(headers:get(":path"), "?")
  local path = canonical(sent)
  local page = site.pages[path]
  local rule, to
  if #site.redirects > 0 then rule, to = first_redirect(request_of(handle, query), path) end
  if not rule or (page and not rule.force) then
    if page and site.moved[path] then return redirect_answer(handle, with_query(site.moved[path], query), 301) end
    rule = nil
  elseif rule.status >= 300 and rule.status < 400 then
    return redirect_answer(handle, with_query(to, query), rule.status)
  elseif to:find("^https?://") then
    return proxy_answer(handle, with_query(to, query), rule.headers)
  else
    page = site.pages[canonical(place_of(to))]
  end
  if method ~= "GET" and method ~= "HEAD" then
    return handle:respond({[":status"] = "405", allow = "GET, HEAD", ["content-type"] = "text/plain"}, "")
  elseif page then
    return file_answer(handle, page, rule and rule.status or 200, path)
  end
  missing_answer(handle, path)
end

function envoy_on_request(handle)
  local done, why = pcall(answer, handle)
  if not done then
    handle:logErr(tostring(why))
    handle:respond({[":status"] = "500"}, "the site cannot be served\n")
  end
end

function envoy_on_response(handle)
  local stored = handle:streamInfo():dynamicMetadata():get(STORE)
  if not stored then return end
  local status, tree, file, path = stored.answer:match("^(%d+) (%S+) (%S+) (%S+)$")
  site = tables_in(handle:filterContext():get("tables"))
  local headers = handle:headers()
  if status ~= "200" and headers:get(":status") == "200" then headers:replace(":status", status) end
  for name, value in pairs(file_headers(file, tree, tonumber(status), path)) do headers:replace(name, value) end
end
