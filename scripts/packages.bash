# Functions for scripts that use the libraries as their users get them. To be sourced.

readonly LIBRARIES=(shard-reactor-macros shard-reactor shard-asyncfd)

# unpack_packages FOLDER: packages the libraries and unpacks them into FOLDER, as a workspace of
# their own in which they find each other. Builds nothing.
unpack_packages() {
	local folder=$1 options=() library archive
	for library in "${LIBRARIES[@]}"; do
		options+=(--package "$library")
	done
	mkdir -p "$folder"
	cargo package --quiet --no-verify --allow-dirty --target-dir "$folder/made" "${options[@]}"
	{
		printf '[workspace]\nresolver = "3"\nmembers = ["%s", "%s", "%s"]\n\n' "${LIBRARIES[@]}"
		printf '[patch.crates-io]\n'
		printf '%s = { path = "%s" }\n' "${LIBRARIES[0]}" "${LIBRARIES[0]}" \
			"${LIBRARIES[1]}" "${LIBRARIES[1]}" "${LIBRARIES[2]}" "${LIBRARIES[2]}"
	} >"$folder/Cargo.toml"
	cp Cargo.lock "$folder/"
	# cargo decides by the time of a file if it has changed, and an archive has none.
	for library in "${LIBRARIES[@]}"; do
		archive=("$folder/made/package/$library"-[0-9]*.crate)
		rm -rf "${folder:?}/$library"
		mkdir "$folder/$library"
		tar --extract --file "${archive[-1]}" --directory "$folder/$library" \
			--strip-components 1 --touch
	done
}
